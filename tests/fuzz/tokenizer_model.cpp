// A sentencepiece model, and the tokenizer.json that it is saved as.
#include "decovec/text/tokenizer.hpp"
#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  static const fuzz::Folder folder, saved("saved");
  const auto file = folder.put("tokenizer.model", fuzz::text_of(data, size));
  return fuzz::check({"tokenizer.model", "save_tokenizer"}, [&] {
    const auto tokenizer = Tokenizer::from_sentencepiece(file);
    for (const char* text : {"", " a b", "the quick brown fox", "\u4e2d\u6587 \U0001f600 e\u0301", "<s>\n\t"})
      tokenizer->ids(text);
    saved.clear();
    save_tokenizer(*tokenizer, {}, saved.path());
  });
}
