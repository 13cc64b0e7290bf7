#include "world/ranks.hpp"

#include <exception>

#include <ATen/ATen.h>

namespace decovec {

int64_t sum_over_ranks(World& world, int64_t value) {
  at::Tensor sum = at::full({1}, value, at::TensorOptions(at::kLong).device(world.device()));
  world.reduce(sum);
  return sum.item<int64_t>();
}

void on_first_rank(World& world, const std::function<void()>& body) {
  std::exception_ptr error;
  if (world.rank() == 0) {
    try {
      body();
    } catch (...) {
      error = std::current_exception();
    }
  }
  const int64_t failures = sum_over_ranks(world, error ? 1 : 0);
  if (error) std::rethrow_exception(error);
  if (failures > 0) throw OtherRankFailed("rank 0 failed; see its message");
}

}  // namespace decovec
