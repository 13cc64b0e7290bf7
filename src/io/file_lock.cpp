#include "io/file_lock.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "io/error.hpp"

namespace decovec {
namespace {

int open_file(const std::filesystem::path& file) {
  int descriptor = -1;
  do {  // a pipe of that name must not wait for its reader
    descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) fail("{}: cannot create: {}", file.string(), std::generic_category().message(errno));
  return descriptor;
}

}  // namespace

FileLock::FileLock(const std::filesystem::path& file, std::string_view held)
    : file_(std::filesystem::absolute(file)), parents_(file_) {
  while (true) {
    descriptor_ = open_file(file_);
    const bool taken = ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    struct stat opened {
    }, named{};
    const bool ours = ::fstat(descriptor_, &opened) == 0 && S_ISREG(opened.st_mode) && opened.st_size == 0;
    // Its last holder may have removed the file between our opening and our locking.
    const bool stands =
        ::lstat(file_.c_str(), &named) == 0 && opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
    if (!taken && ours && stands) return;
    ::close(descriptor_);
    if (taken) fail("{}: {}", file_.string(), held);
    if (!ours) fail("{}: stands where a lock file has to; remove it or choose another name", file_.string());
  }
}

FileLock::~FileLock() {
  ::unlink(file_.c_str());  // while it is still locked: whoever opens the name next makes a new file
  ::close(descriptor_);
}

}  // namespace decovec
