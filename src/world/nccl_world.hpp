// Ranks on CUDA devices, by NCCL.
#pragma once
#include <memory>

#include <ATen/core/Tensor.h>

#include "decovec/world/world.hpp"
#include "world/launch.hpp"

namespace decovec {

/// Connects this rank, which computes on `device`, with the others. They find each other at the launch's
/// master address, or by MPI where mpirun started them. Throws std::runtime_error where NCCL does not load or
/// connect.
std::unique_ptr<World> nccl_world(const Launch& launch, at::Device device);

}  // namespace decovec
