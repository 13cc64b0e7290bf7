// A text to normalize: valid UTF-8 comes out, and a second time changes nothing.
#include "text/unicode.hpp"

#include "decovec/io/lines.hpp"
#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  const std::string text(fuzz::text_of(data, size));
  if (!is_utf8(text)) return 0;
  for (const NormalForm form : {NormalForm::nfc, NormalForm::nfd, NormalForm::nfkc, NormalForm::nfkd}) {
    std::string once = text;
    normalize(once, form);
    std::string twice = once;
    normalize(twice, form);
    if (!is_utf8(once) || twice != once) std::abort();
  }
  std::string lower = text;
  lowercase(lower);
  if (!is_utf8(lower)) std::abort();
  return 0;
}
