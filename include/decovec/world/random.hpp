#pragma once
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

/// Randomness without state: each number is a hash of what it is for (seed, stage, step, row ...), so it does
/// not depend on the order of calls, on ranks, or on how work is cut into chunks, and a resumed run draws the
/// same numbers.
struct RandomKey {
  uint64_t value;

  explicit RandomKey(uint64_t seed);
  /// The key for one use under this key.
  RandomKey with(uint64_t part) const;
  RandomKey with(std::string_view part) const;
};

/// 64 well-mixed bits.
uint64_t random_bits(RandomKey key);
/// Uniform in [0, 1), 53 bits.
double random_uniform(RandomKey key);
/// Uniform integer in [0, bound), without bias. bound >= 1.
uint64_t random_below(RandomKey key, uint64_t bound);
/// The numbers 0..count-1 in an order drawn by `key` (exact Fisher-Yates).
std::vector<int64_t> random_permutation(RandomKey key, int64_t count);
/// float32 tensor on the CPU of independent normals (mean 0), the same on every machine's number of threads.
at::Tensor random_normal(RandomKey key, const std::vector<int64_t>& shape, double deviation);

}  // namespace decovec
