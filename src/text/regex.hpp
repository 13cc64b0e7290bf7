#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/code_point_table.hpp"

struct pcre2_real_code_8;

namespace decovec {

/// A pattern of a tokenizer.json, matched by PCRE2.
///
/// PCRE2 never sees Unicode: each character of the text becomes one byte, ASCII as it is and the others by
/// which of the pattern's sets they belong to, and the pattern is stated in those bytes. So the sets are
/// exactly those of the tables here, a class costs one look-up however many ranges it has, and an ASCII text
/// is matched in place.
///
/// Immutable, so calls are thread-safe.
class Regex {
 public:
  struct Match {
    size_t begin, end;  ///< bytes
  };

  /// A pattern in Oniguruma's syntax. Throws std::runtime_error "where: ..." for what cannot be carried over.
  Regex(std::string_view pattern, const std::string& where);
  /// The text itself, whatever it is made of.
  static Regex literal(std::string text, const std::string& where);

  /// Puts all matches into `matches`, from left to right: each is the first one behind its predecessor, and
  /// an empty one does not stand where its predecessor ends. `text` must be UTF-8. Throws std::runtime_error
  /// where the pattern needs too much work on this text.
  void find_all(std::string_view text, std::vector<Match>& matches) const;

  /// False where no match can be empty.
  bool matches_empty() const { return matches_empty_; }

 private:
  Regex() = default;
  void match_bytes(std::string_view subject, std::vector<Match>& matches) const;

  std::string literal_;  // found without PCRE2 where it is not empty
  std::string where_;
  std::shared_ptr<const pcre2_real_code_8> code_;
  CodePointTable<uint8_t> classes_;  // code point to the byte that stands for it
  bool matches_empty_ = false;
};

}  // namespace decovec
