#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

/// The processes that train one model together. This base class is the world of one process; distributed
/// worlds derive from it. All ranks call each collective in the same order, with tensors on their device().
class World {
 public:
  explicit World(at::Device device = at::kCPU) : device_(device) {}
  virtual ~World() = default;
  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  /// This rank's own device.
  at::Device device() const { return device_; }
  /// The rows of all ranks, in rank order: local [n, ...] to [sum of n, ...], n differing as it may. No
  /// gradient flows through it.
  virtual at::Tensor gather(const at::Tensor& rows) { return rows; }
  /// Sums `tensor` over all ranks in place; float16 and bfloat16 in float32.
  virtual void reduce(at::Tensor& tensor) { (void)tensor; }
  /// The sum of `values` [sum of sizes] over all ranks, of which each rank gets the part that `sizes` says is
  /// its own, in rank order: [sizes[rank]]. float, double or int64; sizes alike on all ranks.
  virtual at::Tensor reduce_scatter(const at::Tensor& values, const std::vector<int64_t>& sizes);
  /// Ends the other ranks: for a rank that cannot go on, since they would wait for it. Does not return where
  /// there are any. Tell the error first; where an exception ends a world of MPI, this is what happens.
  virtual void abort() {}

 private:
  at::Device device_;
};

/// The ranks that this process was started among. On CPUs they talk by MPI and are started by mpirun (or srun
/// --mpi=pmix); on CUDA by NCCL, started by torchrun, mpirun or srun (with MASTER_ADDR), and a device without
/// an index becomes that of the local rank. A process that none of these started is alone. Call once, from
/// the thread that trains. Throws std::runtime_error where the environment contradicts itself, or MPI or NCCL
/// is not there.
std::unique_ptr<World> join_world(at::Device device);

}  // namespace decovec
