#pragma once
#include <filesystem>
#include <memory>

#include <ATen/core/Tensor.h>

namespace decovec {

/// Writes a matrix of float32 rows as a NumPy .npy file (version 1.0), row block after row block.
///
/// The file appears under its name in `finish` and not before; without it, nothing is left behind.
class NpyWriter {
 public:
  /// Throws std::runtime_error where the file cannot be created.
  NpyWriter(const std::filesystem::path& file, int64_t columns);
  ~NpyWriter();
  NpyWriter(NpyWriter&&) noexcept;
  NpyWriter& operator=(NpyWriter&&) noexcept;

  /// rows [n, columns], any float type and device.
  void append(const at::Tensor& rows);
  /// Writes the header with the final number of rows, flushes and renames.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Reads a .npy file of little-endian float32, float64, int32 or int64 in C order into a tensor on the CPU.
at::Tensor read_npy(const std::filesystem::path& file);

}  // namespace decovec
