#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// The tensors of one safetensors file, or of all shards of an index, mapped into memory.
///
/// Opening checks the whole header against the format's rules (header size, known dtypes, offsets without
/// holes or overlap, sizes that match shapes, no duplicate keys) and reads no tensor data. Copies share the
/// mappings.
class Safetensors {
 public:
  /// `path` is a `.safetensors` file, a `.safetensors.index.json`, or a folder that holds `model.safetensors`
  /// or `model.safetensors.index.json`. Throws std::runtime_error that names the file and the broken rule.
  static Safetensors open(const std::filesystem::path& path);

  /// All tensor names, sorted.
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const;
  /// The shape as the header states it. Throws std::runtime_error for a name that is not there.
  std::vector<int64_t> shape(const std::string& name) const;
  /// The tensor on the CPU, without a copy: it lies in the mapping and keeps it alive, so writing to it ends
  /// the process (clone it first). Bools and unaligned data are copies. Throws std::runtime_error for a dtype
  /// that is none of BOOL, U8, I8, I16, I32, I64, F16, BF16, F32, F64, and where the file shrank since it was
  /// opened.
  at::Tensor tensor(const std::string& name) const;
  /// The header's `__metadata__`; for shards, the index's string entries of "metadata".
  const std::map<std::string, std::string>& metadata() const;
  /// What was opened, for error messages.
  const std::filesystem::path& path() const;

 private:
  struct Contents;
  std::shared_ptr<const Contents> contents_;
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
