#include "io/mapped_file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "io/error.hpp"

namespace decovec {

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& file) {
  return std::shared_ptr<const MappedFile>(new MappedFile(file));
}

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  // O_NONBLOCK: opening a pipe must not wait for its writer.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  int code = 0;
  bool regular = true;
  if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) {
    code = errno;
  } else if (regular = S_ISREG(status.st_mode); regular && status.st_size > 0) {
    size_ = static_cast<size_t>(status.st_size);
    void* data = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (data == MAP_FAILED) code = errno;
    data_ = code == 0 ? static_cast<const char*>(data) : nullptr;
  }
  if (code == 0 && regular) return;
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!regular) fail("{}: expected a regular file", path_.string());
  fail("{}: cannot open: {}", path_.string(), std::generic_category().message(code));
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
  ::close(descriptor_);
}

void MappedFile::check_not_shrunk() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0)
    fail("{}: cannot read: {}", path_.string(), std::generic_category().message(errno));
  if (static_cast<size_t>(status.st_size) < size_)
    fail("{}: the file shrank from {} to {} bytes while it was open", path_.string(), size_, status.st_size);
}

}  // namespace decovec
