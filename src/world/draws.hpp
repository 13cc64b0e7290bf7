// Orders and samples drawn by a key, in whatever type holds their numbers.
#pragma once
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <unordered_set>
#include <utility>
#include <vector>

#include "decovec/world/random.hpp"

namespace decovec {

/// The numbers 0..count-1 in an order drawn by `key` (exact Fisher-Yates). `count` must fit an Index.
template <class Index>
std::vector<Index> random_order(RandomKey key, int64_t count) {
  std::vector<Index> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), Index{0});
  for (auto i = static_cast<uint64_t>(count); i-- > 1;)
    std::swap(order[i], order[random_below(key.with(i), i + 1)]);
  return order;
}

/// `count` different numbers below `bound`, all sets of them equally likely; all where there are fewer. Time
/// and memory follow `count` alone. Source: Bentley and Floyd 1987, "A sample of brilliance".
inline std::vector<int64_t> random_sample(RandomKey key, int64_t count, int64_t bound) {
  count = std::min(count, bound);
  std::vector<int64_t> sample;
  std::unordered_set<int64_t> taken;
  for (int64_t last = bound - count; last < bound; ++last) {
    const auto draw = static_cast<int64_t>(
        random_below(key.with(static_cast<uint64_t>(last)), static_cast<uint64_t>(last) + 1));
    sample.push_back(taken.contains(draw) ? last : draw);
    taken.insert(sample.back());
  }
  return sample;
}

}  // namespace decovec
