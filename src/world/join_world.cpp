#include <cstdlib>

#include <ATen/detail/CUDAHooksInterface.h>

#include "decovec/world/world.hpp"
#include "io/error.hpp"
#include "world/device.hpp"
#include "world/launch.hpp"
#include "world/mpi_world.hpp"
#include "world/nccl_world.hpp"

namespace decovec {

std::unique_ptr<World> join_world(at::Device device) {
  return at_boundary("join_world", [&]() -> std::unique_ptr<World> {
    const Launch launch = read_launch([](const char* name) { return std::getenv(name); });
    prepare_device(device);
    if (launch.size == 1) return std::make_unique<World>(device);
    if (device.is_cuda()) {
      if (!device.has_index()) {
        // A launcher may show each rank one device, its own.
        const int devices = at::detail::getCUDAHooks().deviceCount();
        if (devices > 1 && launch.local_rank >= devices)
          fail(
              "join_world: expected at most as many ranks on a machine as it has devices ({}), got {} or "
              "more",
              devices, launch.local_rank + 1);
        device = at::Device(at::kCUDA, static_cast<int8_t>(devices == 1 ? 0 : launch.local_rank));
      }
      return nccl_world(launch, device);
    }
    if (launch.launcher == "torchrun")
      fail(
          "join_world: torchrun's ranks talk by NCCL, which needs --device cuda; on CPUs start them with "
          "mpirun");
    return mpi_world(launch.size);
  });
}

}  // namespace decovec
