#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "text/code_point_set.hpp"

namespace decovec {

/// Reads a pattern from left to right: its bytes, and the terms of Oniguruma's syntax that stand for one
/// character.
class RegexReader {
 public:
  /// `pattern` must be UTF-8 and outlive the reader.
  RegexReader(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  size_t at() const { return at_; }
  void move_to(size_t at) { at_ = at; }
  bool done() const { return at_ == pattern_.size(); }
  bool peek(std::string_view expected) const { return pattern_.substr(at_).starts_with(expected); }
  bool take(std::string_view expected);
  char32_t next();
  /// A decimal number, if there is one; not over 65,535, the most repeats that PCRE2 takes.
  std::optional<int> number();

  /// What stands in brackets, behind the opening one. `ignore_case`: matched without regard to case.
  CodePointSet bracket(bool ignore_case, int depth = 0);
  /// Behind a backslash: \p{..} and \P{..}.
  std::optional<CodePointSet> property(bool in_bracket = false);
  /// Behind a backslash: \w, \s, \d, \h and their complements.
  std::optional<CodePointSet> shorthand(bool in_bracket = false);
  /// Behind a backslash: one character.
  char32_t escaped();
  /// The set with the other cases of its members.
  CodePointSet with_other_cases(const CodePointSet& set) const;

  /// Throws: a construct that cannot be carried over.
  [[noreturn]] void refuse(std::string_view what) const;

 private:
  char32_t hexadecimal(size_t least, size_t most);
  CodePointSet posix_class();
  CodePointSet range_in_bracket();

  std::string_view pattern_;
  const std::string& where_;
  size_t at_ = 0;
};

}  // namespace decovec
