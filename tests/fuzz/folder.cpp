// What a model folder says beside its weights: config.json, and the files of sentence-transformers and of the
// tokenizer.
#include "fuzz/fuzz.hpp"
#include "model/folder_facts.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder;
  if (!folder.unpack(fuzz::text_of(data, size))) return 0;
  return fuzz::check({folder.path().native()}, [&] {
    FolderFacts facts = read_folder_facts(folder.path(), {.attention = Attention::bidirectional});
    apply_options({.pooling = Pooling::latent_attention}, facts);
  });
}
