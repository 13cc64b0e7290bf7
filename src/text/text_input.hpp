// What every tokenizer asks of a text.
#pragma once
#include <cstddef>
#include <string_view>

#include "decovec/io/lines.hpp"
#include "io/error.hpp"

namespace decovec {

/// Throws std::invalid_argument for text that is not UTF-8, or too long: tokenizers take up to a hundred
/// bytes of memory for each byte of it.
inline void check_text(std::string_view text) {
  constexpr size_t kMaxBytes = size_t{1} << 26;
  if (text.size() > kMaxBytes)
    reject("Tokenizer::ids: expected a text of at most {} bytes, got {}; cut it", kMaxBytes, text.size());
  if (!is_utf8(text)) reject("Tokenizer::ids: expected UTF-8, got other bytes; convert the text");
}

}  // namespace decovec
