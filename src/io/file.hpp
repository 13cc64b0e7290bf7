// Whole files and folders: read in one piece, and appear in one piece (written aside, flushed, renamed).
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace decovec {

/// The bytes of a file. Throws std::runtime_error with the path and the system's reason.
std::string read_file(const std::filesystem::path& file);

/// Whether there is a file or a folder of this name. Throws std::runtime_error for a link that leads nowhere,
/// as broken caches of downloads hold them: a file was meant to be there.
bool file_exists(const std::filesystem::path& path);

/// Writes a file whole: a temporary file beside it, flushed to disk, renamed over the final name.
void write_file(const std::filesystem::path& file, std::string_view bytes);

/// Gives a finished file or folder its name, on one file system. A folder's name must be free or an empty
/// folder. Throws std::runtime_error with both names.
void rename_and_flush(const std::filesystem::path& from, const std::filesystem::path& to);

/// The missing parent folders of a path, created; when this goes, those that are still empty go with it.
class ParentFolders {
 public:
  /// Throws std::runtime_error where one cannot be created.
  explicit ParentFolders(const std::filesystem::path& path);
  ~ParentFolders();
  ParentFolders(const ParentFolders&) = delete;
  ParentFolders& operator=(const ParentFolders&) = delete;

 private:
  std::vector<std::filesystem::path> made_;  // innermost first
};

/// Removes a folder from under its name at once; what a killed process leaves of it is hidden beside it.
void remove_whole(const std::filesystem::path& folder);

/// Removes what staged files and folders, and folders that were being removed, left directly inside a folder when their process was killed. Nobody
/// else may write there meanwhile.
void remove_staged(const std::filesystem::path& folder);

/// A file under construction, hidden beside its final name; removed again unless `commit` was reached.
///
/// Fill it through `write`, or by the path with somebody else's writer. A link at the final name is replaced,
/// not followed.
class StagedFile {
 public:
  /// Creates the staged file. Throws std::runtime_error where the parent folder is missing or closed to us,
  /// or the final name is taken by something other than a file.
  explicit StagedFile(std::filesystem::path final_path);
  ~StagedFile();
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;

  const std::filesystem::path& path() const { return staged_; }
  /// Appends bytes. Throws std::runtime_error, for instance on a full disk.
  void write(std::string_view bytes);
  /// Overwrites bytes at an offset from the file's start; the place of the next `write` stays.
  void write_at(int64_t offset, std::string_view bytes);
  /// Flushes the staged file to disk and renames it over the final name.
  void commit();

 private:
  std::filesystem::path final_, staged_;
  int descriptor_ = -1;
};

/// A folder under construction, hidden beside its final name; removed again unless `commit` was reached.
class StagedFolder {
 public:
  /// Creates the staging folder, and missing parents.
  explicit StagedFolder(std::filesystem::path final_path);
  ~StagedFolder();
  StagedFolder(const StagedFolder&) = delete;
  StagedFolder& operator=(const StagedFolder&) = delete;

  const std::filesystem::path& path() const { return staged_; }
  /// Flushes every file and renames the folder to its final name, which must not exist or be an empty folder.
  void commit();

 private:
  std::filesystem::path final_, staged_;
  ParentFolders parents_;
  bool committed_ = false;
};

}  // namespace decovec
