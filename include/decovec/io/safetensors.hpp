#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

struct SafetensorsWriteOptions {
  /// Written as `__metadata__`; transformers wants format = pt.
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  /// Bytes of tensor data a file holds at most (one larger tensor has a file of its own) before the tensors
  /// are split into shards with an index.
  int64_t max_shard_bytes = int64_t{5} << 30;
};

/// Writes one file, with the bytes that the format's own writer gives. They depend on names, shapes, dtypes,
/// values and metadata alone; tensors may lie on any device and need not be contiguous, and are copied one at
/// a time. Appears whole: written aside, flushed, renamed. Throws std::invalid_argument for tensors that
/// cannot be written (dtype, name, a name given twice), std::runtime_error for files.
void write_safetensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors,
                       const SafetensorsWriteOptions& options = {});

/// Writes `model.safetensors`, or shards `model-00001-of-0000N.safetensors` with
/// `model.safetensors.index.json`, into a folder that exists and holds neither yet.
void write_safetensors_folder(const std::filesystem::path& folder, const std::vector<NamedTensor>& tensors,
                              const SafetensorsWriteOptions& options = {});

}  // namespace decovec
