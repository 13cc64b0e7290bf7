// One writer at a time, also among processes.
#pragma once
#include <filesystem>
#include <string_view>

#include "io/file.hpp"

namespace decovec {

/// A lock file, there while it is held. The kernel lets go of the lock when the process ends, however it
/// ends, so a file that was left behind locks nothing. On a file system without locks nothing is locked.
class FileLock {
 public:
  /// Creates the file, and missing parent folders. Throws std::runtime_error "FILE: `held`" where another
  /// process, or another FileLock of this one, holds the lock.
  FileLock(const std::filesystem::path& file, std::string_view held);
  /// Removes the file, and the parents it made where they are still empty.
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  std::filesystem::path file_;
  ParentFolders parents_;
  int descriptor_ = -1;
};

}  // namespace decovec
