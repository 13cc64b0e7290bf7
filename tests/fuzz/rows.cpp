// Rows drawn from a training set's JSONL file, as every kind of data set draws them.
#include <algorithm>

#include "data/row_source.hpp"
#include "fuzz/fuzz.hpp"

namespace {

using namespace decovec;

void draw_all(const RowSource& source) {
  for (int64_t i = 0; i < source.size; ++i) {
    const DrawnRow row = source.draw(i, RandomKey(1).with(static_cast<uint64_t>(i)));
    if (row.documents.empty()) std::abort();
    for (const DrawnDocument& document : row.documents) {
      const bool answers = std::ranges::find(row.answer_ids, document.id) != row.answer_ids.end();
      if (answers && document.role != Role::positive) std::abort();
    }
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const fuzz::Folder folder;
  const auto file = folder.put("train.jsonl", fuzz::text_of(data, size));
  return fuzz::check({"train.jsonl", "data set 'train'"}, [&] {
    const Dataset dataset = Dataset::load("train", {file});
    draw_all(retrieval_rows(dataset, 3));
    for (const auto& source : std::initializer_list<std::function<RowSource()>>{
             [&] { return labelled_rows(dataset, 3); }, [&] { return pair_rows(dataset, {}); },
             [&] { return pair_rows(dataset, 2.5); }})
      fuzz::check({"data set 'train'"}, [&] { draw_all(source()); });
  });
}
