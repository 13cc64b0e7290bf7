#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <map>
#include <pcre2.h>
#include <utility>

#include "io/error.hpp"
#include "io/json.hpp"
#include "text/regex_pattern.hpp"
#include "text/unicode.hpp"

namespace decovec {
namespace {

// Which bytes stand for a set, and which byte for a code point: ASCII for itself, and the rest cut into the
// largest parts that no set of the pattern cuts further.
class Partition {
 public:
  void cut_by(const CodePointSet& set, const std::string& where) {
    std::map<std::pair<uint16_t, bool>, uint16_t> parts;
    std::vector<std::pair<char32_t, uint16_t>> cut;
    auto range = set.ranges().begin();
    for (size_t i = 0; i < runs_.size(); ++i) {
      const char32_t end = i + 1 < runs_.size() ? runs_[i + 1].first : kCodePoints;
      for (char32_t first = runs_[i].first; first < end;) {
        while (range != set.ranges().end() && range->last < first) ++range;
        const bool inside = range != set.ranges().end() && range->first <= first;
        char32_t next = end;
        if (range != set.ranges().end())
          next = std::min<char32_t>(end, inside ? range->last + 1 : range->first);
        const auto part =
            parts.try_emplace({runs_[i].second, inside}, static_cast<uint16_t>(parts.size())).first->second;
        if (cut.empty() || cut.back().second != part) cut.push_back({first, part});
        first = next;
      }
    }
    if (parts.size() > 128) fail("{}: the pattern tells more than 128 kinds of characters apart", where);
    runs_ = std::move(cut);
  }

  CodePointTable<uint8_t> table() const {
    std::vector<std::pair<char32_t, uint8_t>> runs;
    for (char32_t c = 0; c < 128; ++c) runs.push_back({c, static_cast<uint8_t>(c)});
    for (const auto& [first, part] : runs_) runs.push_back({first, static_cast<uint8_t>(128 + part)});
    return CodePointTable<uint8_t>(runs);
  }

  // The set as a class of bytes.
  std::string bytes_of(const CodePointSet& set) const {
    std::string result = "[";
    const auto put = [&](int byte) { result += fmt::format("\\x{:02x}", byte); };
    for (int byte = 0; byte < 128; ++byte)
      if (set.contains(static_cast<char32_t>(byte))) put(byte);
    std::vector<bool> seen(128);
    for (const auto& [first, part] : runs_) {
      if (seen[part]) continue;
      seen[part] = true;
      if (set.contains(first)) put(128 + part);
    }
    return result == "[" ? "(?!)" : result + "]";
  }

 private:
  std::vector<std::pair<char32_t, uint16_t>> runs_ = {{128, 0}};  // of code points beyond ASCII
};

template <class T, void (*release)(T*)>
struct Release {
  void operator()(T* object) const { release(object); }
};
template <class T, void (*release)(T*)>
using Owned = std::unique_ptr<T, Release<T, release>>;

// What a thread needs to match: no more memory than this, however hard pattern and text are.
struct Workspace {
  static constexpr size_t kStackBegin = size_t{1} << 15, kStackEnd = size_t{1} << 26;
  static constexpr uint32_t kHeapKib = 1u << 16, kSteps = 10'000'000;

  Owned<pcre2_match_data, pcre2_match_data_free> data{pcre2_match_data_create(1, nullptr)};
  Owned<pcre2_match_context, pcre2_match_context_free> context{pcre2_match_context_create(nullptr)};
  Owned<pcre2_jit_stack, pcre2_jit_stack_free> stack{pcre2_jit_stack_create(kStackBegin, kStackEnd, nullptr)};
  std::string subject;

  Workspace() {
    if (!data || !context || !stack) throw std::bad_alloc();
    pcre2_set_match_limit(context.get(), kSteps);
    pcre2_set_heap_limit(context.get(), kHeapKib);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
  static Workspace& of_thread() {
    static thread_local Workspace workspace;
    return workspace;
  }
};

std::string message_of(int error) {
  PCRE2_UCHAR message[256];
  pcre2_get_error_message(error, message, std::size(message));
  return reinterpret_cast<const char*>(message);
}

}  // namespace

Regex::Regex(std::string_view pattern, const std::string& where)
    : where_(fmt::format("{}: the pattern {}", where, shown(Json(pattern)))) {
  const RegexPattern parsed = parse_regex(pattern, where);
  Partition partition;
  std::map<CodePointSet, std::string> classes;
  for (const auto& part : parsed.parts)
    if (const auto* set = std::get_if<CodePointSet>(&part))
      if (classes.try_emplace(*set).second) partition.cut_by(*set, where_);
  for (auto& [set, bytes] : classes) bytes = partition.bytes_of(set);
  classes_ = partition.table();

  std::string stated;
  for (const auto& part : parsed.parts) {
    const auto* text = std::get_if<std::string>(&part);
    stated += text != nullptr ? *text : classes.at(std::get<CodePointSet>(part));
  }
  int error = 0;
  size_t place = 0;
  // PCRE2 10.42 makes too much possessive: its [^b]+(?>a)?+c finds nothing in "cc".
  code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(stated.data()), stated.size(), PCRE2_NO_AUTO_POSSESS,
                            &error, &place, nullptr),
              pcre2_code_free);
  if (!code_) fail("{}: {}", where_, message_of(error));
  // Where the system forbids compiled patterns, they are interpreted.
  pcre2_jit_compile(const_cast<pcre2_code*>(code_.get()), PCRE2_JIT_COMPLETE);
  uint32_t empty = 0;
  pcre2_pattern_info(code_.get(), PCRE2_INFO_MATCHEMPTY, &empty);
  matches_empty_ = empty != 0;
}

Regex Regex::literal(std::string text, const std::string& where) {
  if (text.empty()) return Regex("", where);  // between any two characters
  Regex regex;
  regex.literal_ = std::move(text);
  return regex;
}

void Regex::find_all(std::string_view text, std::vector<Match>& matches) const {
  matches.clear();
  if (!literal_.empty()) {
    for (size_t at = text.find(literal_); at != text.npos; at = text.find(literal_, at + literal_.size()))
      matches.push_back({at, at + literal_.size()});
    return;
  }
  const size_t ascii = ascii_prefix(text);
  if (ascii == text.size()) return match_bytes(text, matches);

  std::string& subject = Workspace::of_thread().subject;
  subject.assign(text, 0, ascii);
  for (size_t at = ascii; at < text.size();)
    subject += static_cast<char>(classes_[next_code_point(text, at)]);
  match_bytes(subject, matches);
  // From characters to bytes.
  size_t character = 0, byte = 0;
  const auto move_to = [&](size_t& place) {
    for (; character < place; ++character) byte += utf8_length(text[byte]);
    place = byte;
  };
  for (Match& match : matches) {
    move_to(match.begin);
    move_to(match.end);
  }
}

void Regex::match_bytes(std::string_view subject, std::vector<Match>& matches) const {
  Workspace& workspace = Workspace::of_thread();
  const PCRE2_SIZE* const found = pcre2_get_ovector_pointer(workspace.data.get());
  constexpr size_t kNone = std::string_view::npos;
  for (size_t begin = 0, last_end = kNone; begin <= subject.size();) {
    const int result = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(),
                                   begin, 0, workspace.data.get(), workspace.context.get());
    if (result == PCRE2_ERROR_NOMATCH) return;
    if (result < 0)
      fail("{}: too much work on a text of {} characters ({})", where_, subject.size(), message_of(result));
    if (found[0] == found[1] && found[1] == last_end) {
      ++begin;
      continue;
    }
    matches.push_back({found[0], found[1]});
    begin = last_end = found[1];
  }
}

}  // namespace decovec
