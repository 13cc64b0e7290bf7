// Whole files and folders: read in one piece, and appear in one piece (written aside, flushed, renamed).
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace decovec {

/// The bytes of a file. Throws std::runtime_error with the path and the system's reason.
std::string read_file(const std::filesystem::path& file);

/// Writes a file whole: a temporary file beside it, flushed to disk, renamed over the final name.
void write_file(const std::filesystem::path& file, std::string_view bytes);

/// A file under construction beside its final name; removed again unless `commit` was reached.
class StagedFile {
 public:
  explicit StagedFile(std::filesystem::path final_path);
  ~StagedFile();
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;

  const std::filesystem::path& path() const { return staged_; }
  /// Flushes the staged file to disk and renames it over the final name.
  void commit();

 private:
  std::filesystem::path final_, staged_;
  bool committed_ = false;
};

/// A folder under construction beside its final name; removed again unless `commit` was reached.
class StagedFolder {
 public:
  /// Creates the staging folder (and missing parents).
  explicit StagedFolder(std::filesystem::path final_path);
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::filesystem::path& path() const { return staged_; }
  /// Flushes every file and renames the folder to its final name, which must not exist or be an empty folder.
  void commit();

 private:
  std::filesystem::path final_, staged_;
  bool committed_ = false;
};

}  // namespace decovec
