// A training set's JSONL file.
#include "decovec/data/dataset.hpp"
#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder;
  const auto file = folder.put("train.jsonl", fuzz::text_of(data, size));
  return fuzz::check({"train.jsonl"}, [&] { Dataset::load("train", {file}); });
}
