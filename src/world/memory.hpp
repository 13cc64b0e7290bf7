// How much memory there is left.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>

#include <ATen/core/Tensor.h>

namespace decovec {

/// Bytes that this process may still take on a device: what is free there on CUDA; on the CPU what the
/// machine has available, or less where a control group (a container, a SLURM job) has a limit. Empty where
/// the system does not say.
std::optional<int64_t> free_memory(at::Device device);

/// The same of the CPU by Linux's files below `root`: /proc/meminfo, /proc/self/cgroup, and what lies under
/// /sys/fs/cgroup of both versions.
std::optional<int64_t> free_memory_by(const std::filesystem::path& root);

}  // namespace decovec
