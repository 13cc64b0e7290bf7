// A training recipe.
#include "decovec/train/recipe.hpp"

#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder;
  static const auto texts = folder.put("a.jsonl", "{}\n");
  const auto file = folder.put("recipe.toml", fuzz::text_of(data, size));
  return fuzz::check({"recipe.toml"}, [&] { Recipe::load(file); });
}
