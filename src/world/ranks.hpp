// What one rank does for all: files are checked and written once.
#pragma once
#include <cstdint>
#include <functional>
#include <stdexcept>

#include "decovec/world/world.hpp"

namespace decovec {

/// Another rank failed and has its own error.
struct OtherRankFailed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Runs `body` on rank 0 while the others wait. Where it throws, all ranks throw: rank 0 that error, the
/// others OtherRankFailed.
void on_first_rank(World& world, const std::function<void()>& body);

/// A number of each rank, summed.
int64_t sum_over_ranks(World& world, int64_t value);

}  // namespace decovec
