#include "text/regex_reader.hpp"

#include <charconv>
#include <fmt/format.h>
#include <initializer_list>

#include "io/error.hpp"
#include "io/json.hpp"
#include "text/unicode.hpp"

namespace decovec {
namespace {

constexpr int kMaxDepth = 100;
constexpr int kMaxRepeats = 65535;

CodePointSet union_of(std::initializer_list<std::string_view> names) {
  CodePointSet set;
  for (const std::string_view name : names) set |= *CodePointSet::named(name);
  return set;
}

// Oniguruma's word characters are not the same in brackets.
CodePointSet as_in_bracket(CodePointSet set) {
  return set == *CodePointSet::named("word") ? *CodePointSet::named("[word]") : set;
}

bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_letter(char32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

void RegexReader::refuse(std::string_view what) const {
  fail("{}: the pattern {}: {} (before byte {}) is not something that decovec can carry over", where_,
       shown(Json(pattern_)), what, at_);
}

bool RegexReader::take(std::string_view expected) {
  if (!peek(expected)) return false;
  at_ += expected.size();
  return true;
}

char32_t RegexReader::next() {
  if (done()) refuse("an unfinished term");
  return next_code_point(pattern_, at_);
}

std::optional<int> RegexReader::number() {
  int value = 0;
  const auto [end, error] = std::from_chars(pattern_.data() + at_, pattern_.data() + pattern_.size(), value);
  if (error == std::errc::invalid_argument || value < 0) return std::nullopt;
  at_ = static_cast<size_t>(end - pattern_.data());
  if (error != std::errc() || value > kMaxRepeats) refuse("a number over 65,535");
  return value;
}

CodePointSet RegexReader::bracket(bool ignore_case, int depth) {
  if (depth > kMaxDepth) refuse("a class nested deeper than 100 levels");
  const bool negated = take("^");
  CodePointSet whole = CodePointSet::all(), part;
  bool empty = true;  // the part, as written
  const auto close_part = [&] {
    if (empty) refuse("an empty class");
    whole &= part;
    part = {};
    empty = true;
  };
  for (;;) {
    if (take("]")) break;
    if (take("&&")) {
      close_part();
      continue;
    }
    empty = false;
    if (take("[:")) {
      part |= posix_class();
    } else if (take("[")) {
      part |= bracket(false, depth + 1);
    } else {
      part |= range_in_bracket();
      continue;
    }
    if (peek("-") && !peek("-]")) refuse("'-' behind a class");
  }
  close_part();
  if (ignore_case) whole = with_other_cases(whole);
  return negated ? ~whole : whole;
}

CodePointSet RegexReader::posix_class() {
  const bool negated = take("^");
  const size_t end = pattern_.find(":]", at_);
  const std::string_view name = pattern_.substr(at_, end == pattern_.npos ? 0 : end - at_);
  for (const std::string_view known : {"alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower",
                                       "print", "punct", "space", "upper", "word", "xdigit"}) {
    if (name != known) continue;
    at_ = end + 2;
    const CodePointSet set = as_in_bracket(*CodePointSet::named(name == "punct" ? "posixpunct" : name));
    return negated ? ~set : set;
  }
  refuse("this kind of class");
}

// A character, a range, or an escape that stands for a set.
CodePointSet RegexReader::range_in_bracket() {
  const auto character = [&]() -> char32_t {
    if (!take("\\")) return next();
    return take("b") ? U'\b' : escaped();
  };
  if (take("\\")) {
    auto set = property(true);
    if (!set) set = shorthand(true);
    if (set) {
      if (peek("-") && !peek("-]")) refuse("'-' behind a class");
      return *set;
    }
    --at_;
  }
  const char32_t first = character();
  if (!peek("-") || peek("-]")) return CodePointSet(first);
  take("-");
  if (first == '-' || peek("[") || peek("&&")) refuse("'-' here");
  const char32_t last = character();
  if (last < first) refuse("a range that ends before it begins");
  if (peek("-") && !peek("-]")) refuse("'-' behind a range");
  return {first, last};
}

std::optional<CodePointSet> RegexReader::property(bool in_bracket) {
  if (!peek("p{") && !peek("P{")) return std::nullopt;
  bool negated = peek("P");
  at_ += 2;
  if (take("^")) negated = !negated;
  const size_t end = pattern_.find('}', at_);
  if (end == pattern_.npos) refuse("a property without an end");
  const std::string_view name = pattern_.substr(at_, end - at_);
  auto set = CodePointSet::named(name);
  if (!set || name.find('[') != name.npos) refuse(fmt::format("the property {}", shown(Json(name))));
  if (in_bracket) set = as_in_bracket(*set);
  at_ = end + 1;
  return negated ? ~*set : *set;
}

std::optional<CodePointSet> RegexReader::shorthand(bool in_bracket) {
  struct Shorthand {
    std::string_view letter, complement, name;
  };
  for (const auto& [letter, complement, name] :
       {Shorthand{"w", "W", "word"}, Shorthand{"s", "S", "space"}, Shorthand{"d", "D", "digit"},
        Shorthand{"h", "H", "xdigit"}}) {
    const bool negated = peek(complement);
    if (!take(letter) && !take(complement)) continue;
    auto set = *CodePointSet::named(name);
    if (in_bracket) set = as_in_bracket(set);
    return negated ? ~set : set;
  }
  return std::nullopt;
}

char32_t RegexReader::escaped() {
  const char32_t c = next();
  switch (c) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case 'a':
      return '\a';
    case 'e':
      return 0x1b;
    case 'u':
      return hexadecimal(4, 4);
    case 'x': {
      const bool braces = take("{");
      const char32_t value = braces ? hexadecimal(1, 8) : hexadecimal(1, 2);
      if (braces && !take("}")) refuse("\\x{ with more than one number");
      if (!braces && value >= 0x80) refuse("a byte that is not ASCII");
      return value;
    }
    default:
      if (is_letter(c) || is_digit(c)) refuse(fmt::format("\\{}", static_cast<char>(c)));
      return c;
  }
}

char32_t RegexReader::hexadecimal(size_t least, size_t most) {
  const std::string_view digits = pattern_.substr(at_, most);
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  const auto length = static_cast<size_t>(end - digits.data());
  if (error != std::errc() || length < least || value >= kCodePoints || (value >= 0xd800 && value < 0xe000))
    refuse("this code point");
  at_ += length;
  return value;
}

CodePointSet RegexReader::with_other_cases(const CodePointSet& set) const {
  // What else has case may equal more than one character of another case ("ss" and U+00DF).
  static const CodePointSet plain =
      CodePointSet(0, 0x7f) | union_of({"Lo", "Nd", "No", "P", "Sc", "Sk", "Sm", "Z"});
  if (!(set & ~plain).empty()) refuse("a letter beyond ASCII without regard to case");
  CodePointSet result = set;
  for (char32_t small = 'a'; small <= 'z'; ++small) {
    CodePointSet cases = CodePointSet(small) | CodePointSet(small - 'a' + 'A');
    if (small == 'k') cases |= CodePointSet(0x212a);
    if (small == 's') cases |= CodePointSet(0x17f);
    if (!(set & cases).empty()) result |= cases;
  }
  return result;
}

}  // namespace decovec
