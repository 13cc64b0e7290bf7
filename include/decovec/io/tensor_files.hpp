#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

/// The named tensors of a file or a folder, mapped into memory: safetensors, or what torch.save writes
/// (pytorch_model.bin), as one file or as shards with an index.
///
/// Opening checks the whole header and reads no tensor data. Nothing that stands in a file is ever run: of
/// torch.save's pickles, names and plain tensors are read and everything else is refused by name. Copies
/// share the mappings.
class TensorFiles {
 public:
  /// `path` is a `.safetensors` file, torch's `.bin`, `.pt` or `.pth`, the `.index.json` of shards beside it,
  /// or a folder, which is searched for model.safetensors, its index, pytorch_model.bin and its index, in
  /// this order. Throws std::runtime_error that names the file and the broken rule, or what was looked for.
  static TensorFiles open(const std::filesystem::path& path);
  /// Whether a folder holds one of the files that `open` would look for.
  static bool in_folder(const std::filesystem::path& folder);

  /// All tensor names, sorted.
  std::vector<std::string> names() const;
  bool contains(const std::string& name) const;
  /// The shape as the file states it. Throws std::runtime_error for a name that is not there.
  std::vector<int64_t> shape(const std::string& name) const;
  /// The element type, as safetensors names it: "F16". Throws as `shape` does.
  std::string dtype(const std::string& name) const;
  /// The tensor on the CPU, without a copy: it lies in the mapping and keeps it alive, so writing to it ends
  /// the process (clone it first). Bools and unaligned data are copies. Throws std::runtime_error for a dtype
  /// that is none of BOOL, U8, I8, I16, I32, I64, F16, BF16, F32, F64, and where the file shrank since it was
  /// opened.
  at::Tensor tensor(const std::string& name) const;
  /// A safetensors file's `__metadata__`; for shards, the index's string entries of "metadata"; else empty.
  const std::map<std::string, std::string>& metadata() const;
  /// What was opened, for error messages.
  const std::filesystem::path& path() const;
  /// The size of all files together: no tensors that share no values take more.
  int64_t bytes() const;
  /// The same tensors under other names. Throws std::runtime_error where two would get the same one.
  TensorFiles renamed(const std::function<std::string(const std::string&)>& new_name) const;

 private:
  struct Contents;
  std::shared_ptr<const Contents> contents_;
};

}  // namespace decovec
