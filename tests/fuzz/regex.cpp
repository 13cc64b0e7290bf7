// A pattern (the first line) on a text (the rest).
#include "text/regex.hpp"

#include <vector>

#include "decovec/io/lines.hpp"
#include "fuzz/fuzz.hpp"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace decovec;
  const std::string_view input = fuzz::text_of(data, size);
  const size_t end = std::min(input.find('\n'), input.size());
  const std::string_view pattern = input.substr(0, end), text = input.substr(end);
  if (!is_utf8(input)) return 0;  // JSON cannot hold it
  return fuzz::check({"tokenizer.json"}, [&] {
    std::vector<Regex::Match> matches;
    Regex(pattern, "tokenizer.json").find_all(text, matches);
    size_t done = 0;
    for (const auto& [begin, behind] : matches) {
      if (begin < done || behind < begin || behind > text.size() ||
          !is_utf8(text.substr(begin, behind - begin)))
        std::abort();
      done = behind;
    }
  });
}
