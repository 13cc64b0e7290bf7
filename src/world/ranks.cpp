#include "world/ranks.hpp"

#include <algorithm>
#include <exception>
#include <numeric>

#include <ATen/ATen.h>

#include "io/error.hpp"

namespace decovec {

at::Tensor World::reduce_scatter(const at::Tensor& values, const std::vector<int64_t>& sizes) {
  if (size() == 1) return values;
  at::Tensor sum = values.clone();
  reduce(sum);
  const auto own = static_cast<size_t>(rank());
  const int64_t begin = std::accumulate(sizes.begin(), sizes.begin() + rank(), int64_t{0});
  return sum.narrow(0, begin, sizes.at(own)).clone();
}

RowRange rows_of_rank(int64_t rows, int rank, int ranks) {
  return {rows * rank / ranks, rows * (rank + 1) / ranks};
}

std::vector<int64_t> of_each_rank(World& world, int64_t value) {
  const at::Tensor own = at::full({1}, value, at::TensorOptions(at::kLong).device(world.device()));
  const at::Tensor all = world.gather(own).cpu();
  const auto* values = all.const_data_ptr<int64_t>();
  return {values, values + all.numel()};
}

int64_t sum_over_ranks(World& world, int64_t value) {
  const std::vector<int64_t> values = of_each_rank(world, value);
  return std::accumulate(values.begin(), values.end(), int64_t{0});
}

void on_all_ranks(World& world, const std::function<void()>& body) {
  std::exception_ptr error;
  try {
    body();
  } catch (...) {
    error = std::current_exception();
  }
  const std::vector<int64_t> failed = of_each_rank(world, error ? 1 : 0);
  const auto first = std::find(failed.begin(), failed.end(), 1) - failed.begin();
  if (first == std::ssize(failed)) return;
  if (first == world.rank()) std::rethrow_exception(error);
  throw OtherRankFailed(fmt::format("rank {} failed; see its message", first));
}

void on_first_rank(World& world, const std::function<void()>& body) {
  on_all_ranks(world, [&] {
    if (world.rank() == 0) body();
  });
}

}  // namespace decovec
