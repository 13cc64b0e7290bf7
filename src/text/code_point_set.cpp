#include "text/code_point_set.hpp"

#include <algorithm>
#include <iterator>
#include <string>

#include "text/unicode_tables.hpp"

namespace decovec {

std::optional<CodePointSet> CodePointSet::named(std::string_view name) {
  std::string plain;
  for (const char byte : name)
    if (byte != ' ' && byte != '-' && byte != '_')
      plain += static_cast<char>(byte >= 'A' && byte <= 'Z' ? byte - 'A' + 'a' : byte);
  const auto& names = unicode_tables::names;
  const auto found = std::lower_bound(names.begin(), names.end(), plain,
                                      [](const auto& entry, const auto& key) { return entry.first < key; });
  if (found == names.end() || found->first != plain) return std::nullopt;

  std::vector<bool> member;  // by cell
  for (size_t at = 0; at < unicode_tables::cells.size(); at += 1 + unicode_tables::cells[at]) {
    const auto sets = unicode_tables::cells.subspan(at + 1, unicode_tables::cells[at]);
    member.push_back(std::find(sets.begin(), sets.end(), found->second) != sets.end());
  }
  CodePointSet set;
  const auto& runs = unicode_tables::runs;
  for (size_t at = 0; at < runs.size(); at += 2) {
    if (!member[runs[at + 1]]) continue;
    const char32_t last = (at + 2 < runs.size() ? runs[at + 2] : kCodePoints) - 1;
    if (!set.ranges_.empty() && set.ranges_.back().last + 1 == runs[at]) {
      set.ranges_.back().last = last;
    } else {
      set.ranges_.push_back({runs[at], last});
    }
  }
  return set;
}

bool CodePointSet::contains(char32_t code_point) const {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), code_point,
                                      [](char32_t c, const Range& range) { return c < range.first; });
  return after != ranges_.begin() && std::prev(after)->last >= code_point;
}

CodePointSet CodePointSet::operator~() const {
  CodePointSet result;
  char32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.first > next) result.ranges_.push_back({next, range.first - 1});
    next = range.last + 1;
  }
  if (next < kCodePoints) result.ranges_.push_back({next, kCodePoints - 1});
  return result;
}

CodePointSet operator|(const CodePointSet& a, const CodePointSet& b) {
  std::vector<CodePointSet::Range> both;
  std::merge(a.ranges_.begin(), a.ranges_.end(), b.ranges_.begin(), b.ranges_.end(),
             std::back_inserter(both));
  CodePointSet result;
  for (const auto& range : both) {
    if (!result.ranges_.empty() && range.first <= result.ranges_.back().last + 1) {
      result.ranges_.back().last = std::max(result.ranges_.back().last, range.last);
    } else {
      result.ranges_.push_back(range);
    }
  }
  return result;
}

}  // namespace decovec
