#include "text/pattern_matcher.hpp"

#include <algorithm>
#include <numeric>

namespace decovec {
namespace {

unsigned char byte_from_end(std::string_view pattern, size_t depth) {
  return static_cast<unsigned char>(pattern[pattern.size() - 1 - depth]);
}

}  // namespace

PatternMatcher::PatternMatcher(const std::vector<std::string_view>& patterns) {
  std::vector<size_t> order(patterns.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::lexicographical_compare(patterns[a].rbegin(), patterns[a].rend(), patterns[b].rbegin(),
                                        patterns[b].rend());
  });

  // The trie level by level: patterns with the same end of `depth` bytes are neighbours in the order, and the
  // state of that end is the range of them.
  struct Range {
    size_t begin, end;
  };
  states_.emplace_back();
  std::vector<Range> ranges = {{0, order.size()}};
  size_t level_begin = 0;
  for (size_t depth = 0; level_begin < states_.size(); ++depth) {
    const size_t level_end = states_.size();
    for (size_t state = level_begin; state < level_end; ++state) {
      auto [begin, end] = ranges[state];
      if (begin < end && patterns[order[begin]].size() == depth)
        states_[state].longest = static_cast<uint32_t>(order[begin++]);
      states_[state].begin = static_cast<uint32_t>(edges_.size());
      while (begin < end) {
        const unsigned char byte = byte_from_end(patterns[order[begin]], depth);
        const size_t from = begin;
        while (begin < end && byte_from_end(patterns[order[begin]], depth) == byte) ++begin;
        edges_.push_back({byte, static_cast<uint32_t>(states_.size())});
        states_.emplace_back();
        ranges.push_back({from, begin});
      }
      states_[state].end = static_cast<uint32_t>(edges_.size());
    }
    level_begin = level_end;
  }

  for (uint32_t edge = states_[0].begin; edge < states_[0].end; ++edge)
    first_[edges_[edge].byte] = edges_[edge].target;
  // States are numbered level by level, so a fallback, which is shorter, is complete before it is asked for.
  for (size_t parent = 1; parent < states_.size(); ++parent) {
    for (uint32_t edge = states_[parent].begin; edge < states_[parent].end; ++edge) {
      State& child = states_[edges_[edge].target];
      child.fallback = next(states_[parent].fallback, edges_[edge].byte);
      if (child.longest == kNone) child.longest = states_[child.fallback].longest;
    }
  }
}

uint32_t PatternMatcher::target(uint32_t state, unsigned char byte) const {
  const auto begin = edges_.begin() + states_[state].begin, end = edges_.begin() + states_[state].end;
  const auto found =
      std::lower_bound(begin, end, byte, [](const Edge& edge, unsigned char b) { return edge.byte < b; });
  return found == end || found->byte != byte ? kNone : found->target;
}

uint32_t PatternMatcher::next(uint32_t state, unsigned char byte) const {
  while (state != 0) {
    if (const uint32_t found = target(state, byte); found != kNone) return found;
    state = states_[state].fallback;
  }
  return first_[byte];
}

std::vector<PatternMatcher::Match> PatternMatcher::longest_at_each_place(std::string_view text) const {
  std::vector<Match> matches;
  uint32_t state = 0;
  for (size_t place = text.size(); place-- > 0;) {
    const auto byte = static_cast<unsigned char>(text[place]);
    state = state == 0 ? first_[byte] : next(state, byte);
    if (states_[state].longest != kNone) matches.push_back({place, states_[state].longest});
  }
  return matches;
}

}  // namespace decovec
