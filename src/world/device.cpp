#include "world/device.hpp"

#include <dlfcn.h>

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "io/error.hpp"

namespace decovec {

void prepare_device(at::Device device) {
  if (device.is_cpu()) return;
  if (!device.is_cuda()) reject("device: expected cpu or cuda, got {}", device.str());
  // Asking at::hasCUDA() before the library is there would settle for good that there is none; the registry
  // of device guards settles nothing.
  if (!c10::impl::hasDeviceGuardImpl(c10::DeviceType::CUDA) &&
      !dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) {
    const char* reason = dlerror();
    fail(
        "device cuda: LibTorch's CUDA library does not load ({}); install a LibTorch with CUDA and its "
        "NVIDIA libraries",
        reason != nullptr ? reason : "no reason given");
  }
  const int devices = at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
  if (devices == 0)
    fail("device cuda: no CUDA device found; check the driver with nvidia-smi, or use the cpu");
  if (device.has_index() && device.index() >= devices) {
    fail("device {}: expected an index below {}", device.str(), devices);
  }
}

void release_cached_memory(at::Device device) {
  if (!device.is_cpu()) c10::getDeviceAllocator(device.type())->emptyCache();
}

}  // namespace decovec
