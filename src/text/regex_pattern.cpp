#include "text/regex_pattern.hpp"

#include <fmt/format.h>
#include <initializer_list>
#include <utility>

#include "text/regex_reader.hpp"

namespace decovec {
namespace {

constexpr int kMaxDepth = 100;
constexpr size_t kMaxPattern = size_t{1} << 16;

// How the pattern is read from some place on; a group may change it.
struct Options {
  bool ignore_case = false;
  bool dot_all = false;  // written (?m), as in Ruby
};

class Parser {
 public:
  Parser(std::string_view pattern, const std::string& where) : in_(pattern, where) {
    if (pattern.size() > kMaxPattern) in_.refuse("more than 65,536 bytes");
  }

  RegexPattern parse() {
    alternatives({}, 0);
    if (!in_.done()) in_.refuse("a closing parenthesis without an opening one");
    return std::move(result_);
  }

 private:
  struct Term {
    enum Kind {
      character,  // or a group: can be repeated
      place,      // matches no character
      rest,       // an option, and with it all that followed in the group
    } kind = character;
    bool can_be_empty = kind == place;
    bool atomic = false;
  };

  void put(std::string_view text) {
    if (result_.parts.empty() || !std::holds_alternative<std::string>(result_.parts.back()))
      result_.parts.emplace_back(std::string());
    std::get<std::string>(result_.parts.back()) += text;
  }
  void put(CodePointSet set) { result_.parts.emplace_back(std::move(set)); }

  // Returns whether one of them can match nothing.
  bool alternatives(Options options, int depth) {
    if (depth > kMaxDepth) in_.refuse("a group nested deeper than 100 levels");
    for (bool any_empty = false;;) {
      last_folded_ = {};
      bool empty = true;
      while (!in_.done() && !in_.peek("|") && !in_.peek(")")) {
        if (in_.take("(?#")) {
          while (in_.next() != ')') {
          }
          continue;
        }
        result_.parts.emplace_back(std::string());  // where a group around the term can open
        const size_t begin = result_.parts.size() - 1;
        Term term = in_.take("(") ? group(options, depth) : single(options);
        if (term.kind != Term::rest) repeats(term, begin);
        empty = empty && term.can_be_empty;
      }
      any_empty = any_empty || empty;
      if (!in_.take("|")) return any_empty;
      put("|");
    }
  }

  Term group(Options options, int depth) {
    const auto body = [&](std::string_view open) {
      put(open);
      const bool can_be_empty = alternatives(options, depth + 1);
      if (!in_.take(")")) in_.refuse("an opening parenthesis without a closing one");
      put(")");
      return Term{Term::character, can_be_empty};
    };
    if (in_.peek("*")) in_.refuse("(*");
    if (!in_.take("?") || in_.take(":")) return body("(?:");
    if (in_.take(">")) return Term{Term::character, body("(?>").can_be_empty, true};
    for (const std::string_view kind : {"=", "!", "<=", "<!"})
      if (in_.take(kind)) return body(fmt::format("(?{}", kind)), Term{Term::place};
    if (in_.take("<")) {
      while (in_.next() != '>') {
      }
      return body("(?:");
    }
    for (bool on = true;;) {
      if (in_.take("i")) {
        options.ignore_case = on;
      } else if (in_.take("m")) {
        options.dot_all = on;
      } else if (on && in_.take("-")) {
        on = false;
      } else if (in_.take(":")) {
        return body("(?:");
      } else if (in_.take(")")) {  // holds to the end of the group, all of its alternatives included
        put("(?:");
        const bool can_be_empty = alternatives(options, depth + 1);
        put(")");
        return {Term::rest, can_be_empty};
      } else {
        in_.refuse("this kind of group");
      }
    }
  }

  Term single(Options options) {
    const std::string folded_before = std::exchange(last_folded_, {});
    const auto character = [&](CodePointSet set) {
      if (options.ignore_case) note_folded(set, folded_before);
      put(std::move(set));
      return Term{};
    };
    const auto literal = [&](const CodePointSet& set) {
      return character(options.ignore_case ? in_.with_other_cases(set) : set);
    };
    const size_t begin = in_.at();
    if (interval()) in_.refuse("a repeat of nothing");
    switch (const char32_t c = in_.next()) {
      case '\\':
        if (auto set = in_.property()) return literal(*set);
        if (auto set = in_.shorthand()) return put(*set), Term{};
        if (in_.take("b")) return word_edge(true), Term{Term::place};
        if (in_.take("B")) return word_edge(false), Term{Term::place};
        if (in_.take("A")) return put("\\A"), Term{Term::place};
        if (in_.take("z")) return put("\\z"), Term{Term::place};
        if (in_.take("Z")) return put("(?=\\n?\\z)"), Term{Term::place};
        return literal(CodePointSet(in_.escaped()));
      case '[':
        return character(in_.bracket(options.ignore_case));
      case '.':
        return put(options.dot_all ? CodePointSet::all() : ~CodePointSet('\n')), Term{};
      case '^':
        return put("(?:\\A|(?<=\\n)(?!\\z))"), Term{Term::place};
      case '$':
        return put("(?=\\n|\\z)"), Term{Term::place};
      case '*':
      case '+':
      case '?':
        in_.move_to(begin);
        in_.refuse("a repeat of nothing");
      default:
        return literal(CodePointSet(c));
    }
  }

  void word_edge(bool edge) {
    const CodePointSet word = *CodePointSet::named("word");
    put("(?:(?<=");
    put(word);
    put(edge ? ")(?!" : ")(?=");
    put(word);
    put(")|(?<!");
    put(word);
    put(edge ? ")(?=" : ")(?!");
    put(word);
    put("))");
  }

  // Without regard to case, some pairs of letters equal one character (a ligature, or U+00DF).
  void note_folded(const CodePointSet& set, std::string_view before) {
    for (const char letter : {'s', 't', 'f', 'i', 'l'})
      if (set.contains(static_cast<char32_t>(letter))) last_folded_ += letter;
    const auto pair = [&](char first, std::string_view second) {
      return before.find(first) != before.npos && last_folded_.find_first_of(second) != std::string::npos;
    };
    if (pair('s', "st") || pair('f', "fil"))
      in_.refuse("ss, st, ff, fi or fl without regard to case (a ligature would match them)");
  }

  struct Interval {
    int low, high;  // high is -1 where there is no limit
    bool one_number;
  };

  // {n}, {n,}, {,n} or {n,m}; anything else in braces is text.
  std::optional<Interval> interval() {
    const size_t begin = in_.at();
    if (!in_.take("{")) return std::nullopt;
    const std::optional<int> first = in_.number();
    const bool comma = in_.take(",");
    const std::optional<int> second = comma ? in_.number() : first;
    if (!in_.take("}") || (!first && !second)) return in_.move_to(begin), std::nullopt;
    const Interval result = {first.value_or(0), second.value_or(-1), !comma};
    if (second && result.high < result.low) in_.refuse("a repeat with its limits the wrong way round");
    return result;
  }

  // How often the term that was written from part `begin` on is repeated.
  void repeats(Term& term, size_t begin) {
    std::string repeat;
    int low = 0, high = 1;
    if (const std::optional<Interval> times = interval()) {
      low = times->low;
      high = times->high;
      repeat = high < 0 ? fmt::format("{{{},}}", low) : fmt::format("{{{},{}}}", low, high);
      // An interval is never possessive, and a number alone never lazy: the sign repeats the repeated term.
      if (in_.peek("+") || (times->one_number && in_.peek("?"))) {
        std::get<std::string>(result_.parts[begin]).insert(0, "(?:");
        term.can_be_empty = term.can_be_empty || low == 0;
        const bool plus = in_.take("+");
        if (!plus) in_.take("?");
        repeat += plus ? ")+" : ")?";
        low = plus ? low : 0;
        high = plus ? -1 : high;
      } else if (in_.take("?")) {
        repeat += "?";
      }
    } else {
      for (const std::string_view sign : {"?", "*", "+"}) {
        if (!repeat.empty() || !in_.take(sign)) continue;
        repeat = sign;
        low = sign == "+" ? 1 : 0;
        high = sign == "?" ? 1 : -1;
        if (in_.take("?")) {
          repeat += "?";
        } else if (in_.take("+")) {
          repeat += "+";
        }
      }
    }
    if (repeat.empty()) return;
    // PCRE2's compiled code does not go back into such a repeat: (?>[abc]+?){1,2}?(?<=b) finds "b" in "cab",
    // not "ab".
    if (term.atomic && repeat.size() > 1 && repeat.back() == '?')
      in_.refuse("a lazy repeat of an atomic group");
    if (term.kind == Term::place) in_.refuse("a repeat of a place between characters");
    // When such a repeat ends is each engine's own affair.
    if (term.can_be_empty && high != 0 && high != 1) in_.refuse("a repeat of what can match nothing");
    if (in_.peek("?") || in_.peek("*") || in_.peek("+") || interval()) in_.refuse("a repeat of a repeat");
    term.can_be_empty = term.can_be_empty || low == 0;
    if (high == 0) return result_.parts.resize(begin);
    put(repeat);
  }

  RegexReader in_;
  RegexPattern result_;
  std::string
      last_folded_;  // the letters that the last term matches without regard to case, of those that count
};

}  // namespace

RegexPattern parse_regex(std::string_view pattern, const std::string& where) {
  return Parser(pattern, where).parse();
}

}  // namespace decovec
