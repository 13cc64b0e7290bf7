#pragma once
#include <ATen/core/Tensor.h>

namespace decovec {

/// The processes that train one model together. This base class is the world of one process; distributed
/// worlds derive from it. All ranks call each collective in the same order.
class World {
 public:
  virtual ~World() = default;
  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  /// The rows of all ranks, in rank order: local [n, ...] to [sum of n, ...]. No gradient flows through it.
  virtual at::Tensor gather(const at::Tensor& rows) { return rows; }
  /// Sums `tensor` over all ranks in place.
  virtual void reduce(at::Tensor& tensor) { (void)tensor; }
};

}  // namespace decovec
