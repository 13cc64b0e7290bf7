// A file mapped into memory, read only.
#pragma once
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>

namespace decovec {

/// The bytes of a regular file without reading them: pages come from disk when they are touched.
class MappedFile {
 public:
  /// Throws std::runtime_error where the file cannot be opened, is not a regular file or cannot be mapped.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::string_view bytes() const { return {data_, size_}; }
  /// Throws std::runtime_error where the file has become shorter since it was opened: touching the lost pages
  /// would end the process.
  void check_not_shrunk() const;

 private:
  explicit MappedFile(std::filesystem::path path);

  std::filesystem::path path_;
  int descriptor_ = -1;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace decovec
