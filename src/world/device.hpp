#pragma once
#include <ATen/core/Tensor.h>

namespace decovec {

/// Makes a device usable: loads LibTorch's CUDA library when a CUDA device is asked for. Throws
/// std::invalid_argument for other kinds of device, std::runtime_error where there is no such device or
/// library.
void prepare_device(at::Device device);

/// Gives back what LibTorch's allocator holds for later use: what is free lies in pieces after memory ran
/// out.
void release_cached_memory(at::Device device);

}  // namespace decovec
