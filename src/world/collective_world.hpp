// What worlds of several processes have in common: which tensors a collective takes and gives. A transport
// moves and adds bytes.
#pragma once
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/world/world.hpp"
#include "io/error.hpp"

namespace decovec {

class CollectiveWorld : public World {
 public:
  using World::World;
  at::Tensor gather(const at::Tensor& rows) final;
  void reduce(at::Tensor& tensor) final;
  at::Tensor reduce_scatter(const at::Tensor& values, const std::vector<int64_t>& sizes) final;

 protected:
  // All tensors are contiguous and lie on device(); sums are of float, double or int64.

  /// The rows of all ranks, counts[r] of rank r and of row_bytes each, into `all`.
  virtual void gather_rows(const at::Tensor& own, const std::vector<int64_t>& counts, int64_t row_bytes,
                           at::Tensor& all) = 0;
  virtual void sum(at::Tensor& values) = 0;
  /// The sum over ranks of the part of `values` that is this rank's, into `own`.
  virtual void sum_parts(const at::Tensor& values, const std::vector<int64_t>& sizes, at::Tensor& own) = 0;

 private:
  void check_device(const at::Tensor& tensor) const;
};

/// The transport's name of a tensor's type. Throws std::invalid_argument for types that are not summed.
template <class Type>
Type summed_type(const at::Tensor& tensor, Type of_float, Type of_double, Type of_int64) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return of_float;
    case at::kDouble:
      return of_double;
    case at::kLong:
      return of_int64;
    default:
      reject("World::reduce: expected float, double or int64, got {}", at::toString(tensor.scalar_type()));
  }
}

}  // namespace decovec
