// Characters and normalization forms, as the tokenizers library has them: its Unicode versions, not the
// newest.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace decovec {

/// The code point that begins at byte `at`, which moves behind it. `text` must be UTF-8, `at` the begin of a
/// character.
inline char32_t next_code_point(std::string_view text, size_t& at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return text[at++];
  char32_t code_point;
  if (lead < 0xe0) {
    code_point = (lead & 0x1fu) << 6 | (byte(1) & 0x3fu);
    at += 2;
  } else if (lead < 0xf0) {
    code_point = (lead & 0x0fu) << 12 | (byte(1) & 0x3fu) << 6 | (byte(2) & 0x3fu);
    at += 3;
  } else {
    code_point = (lead & 0x07u) << 18 | (byte(1) & 0x3fu) << 12 | (byte(2) & 0x3fu) << 6 | (byte(3) & 0x3fu);
    at += 4;
  }
  return code_point;
}

/// How many bytes a character takes, by its first one.
inline size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

void append_utf8(std::string& text, char32_t code_point);

/// How many bytes at the beginning are ASCII.
size_t ascii_prefix(std::string_view text);

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// Brings a text into a normal form, in place. Costs O(n log n) for n combining marks in a row, else O(n).
void normalize(std::string& text, NormalForm form);

/// Each character's own lower case, whatever stands around it (no final sigma), in place.
void lowercase(std::string& text);

/// The sets that parts of the library other than patterns ask for.
enum class CharacterSet : uint8_t {
  white_space,  ///< Strip, WhitespaceSplit, \s of Whitespace, what added tokens strip
  numeric,      ///< Digits
  punctuation,  ///< Punctuation
  word,         ///< \w of Whitespace, and of added tokens' single_word
  mark,         ///< StripAccents
};

bool is_in(CharacterSet set, char32_t code_point);

}  // namespace decovec
