// Ranks on CPUs, by MPI.
#pragma once
#include <memory>

#include "decovec/world/world.hpp"

namespace decovec {

/// Initialises MPI, for the calling thread; the world's end finalises it. Throws std::runtime_error where
/// decovec was built without MPI, and where MPI knows another number of ranks than `expected_size`.
std::unique_ptr<World> mpi_world(int expected_size);

}  // namespace decovec
