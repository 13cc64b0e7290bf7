// What ranks share out among them, and how they fail together: a rank that left alone would be waited for.
#pragma once
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <vector>

#include "decovec/world/world.hpp"

namespace decovec {

/// A rank's share of a row of things: rows, elements.
struct RowRange {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

/// Shares that differ by one row at most, in rank order.
RowRange rows_of_rank(int64_t rows, int rank, int ranks);

/// Another rank failed and has its own error.
struct OtherRankFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Runs `body`, which holds no collective, on every rank. Where it throws on some, all ranks throw: the first
/// of them its error, the others OtherRankFailed.
void on_all_ranks(World& world, const std::function<void()>& body);
/// The same with a body for rank 0 alone: files are checked and written once.
void on_first_rank(World& world, const std::function<void()>& body);

/// A number of each rank, in rank order.
std::vector<int64_t> of_each_rank(World& world, int64_t value);
/// A number of each rank, summed.
int64_t sum_over_ranks(World& world, int64_t value);

}  // namespace decovec
