// A task's folder.
#include "decovec/eval/tasks.hpp"
#include "eval/task_folder.hpp"
#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder;
  if (!folder.unpack(fuzz::text_of(data, size))) return 0;
  return fuzz::check({folder.path().native()}, [&] {
    switch (task_kind(folder.path())) {
      case TaskKind::retrieval: {
        const RetrievalTask task = load_retrieval(folder.path());
        table({score_retrieval(task, bm25_rankings(task))});
        break;
      }
      case TaskKind::similarity:
        load_similarity(folder.path());
        break;
      case TaskKind::classification:
        load_classification(folder.path());
        break;
      case TaskKind::clustering:
        load_clustering(folder.path());
        break;
    }
  });
}
