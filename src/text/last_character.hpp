#pragma once
#include <cstddef>
#include <string_view>

namespace decovec {

/// Where the last character begins in UTF-8 that is not empty.
inline size_t begin_of_last_character(std::string_view text) {
  size_t begin = text.size() - 1;
  while ((static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) --begin;
  return begin;
}

}  // namespace decovec
