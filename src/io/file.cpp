#include "io/file.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "io/error.hpp"

namespace decovec {
namespace fs = std::filesystem;
namespace {

std::string reason(int code) {
  std::string text = std::generic_category().message(code);
  if (code == ENOSPC || code == EDQUOT) text += "; free some space there";
  if (code == EFBIG) text += "; raise the limit of file sizes (ulimit -f)";
  return text;
}

template <class Call>
auto retried(Call&& call) {  // a signal may interrupt a system call before it did anything
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

int open_to_read(const fs::path& path, int flags = 0) {
  const int descriptor = retried([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags); });
  if (descriptor < 0) fail("{}: cannot open: {}", path.string(), reason(errno));
  return descriptor;
}

// Writes all bytes through `write_some(pointer, size)`, which may take them in pieces.
template <class WriteSome>
void write_all(std::string_view bytes, const fs::path& final_path, WriteSome&& write_some) {
  while (!bytes.empty()) {
    const ssize_t written = retried([&] { return write_some(bytes.data(), bytes.size()); });
    if (written < 0) fail("{}: cannot write: {}", final_path.string(), reason(errno));
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

// Flushes a file or a folder (its list of names) to disk.
void flush_to_disk(const fs::path& path) {
  const int descriptor = open_to_read(path);
  const int result = retried([&] { return ::fsync(descriptor); });
  const int code = errno;
  ::close(descriptor);
  // EINVAL: the file system has nothing to flush for this kind of thing.
  if (result < 0 && code != EINVAL) fail("{}: cannot flush to disk: {}", path.string(), reason(code));
}

// An absolute path whose last part is a name, as staging needs it.
fs::path named(const fs::path& path) {
  fs::path named = path.empty() ? path : fs::absolute(path);
  if (!named.has_filename()) named = named.parent_path();  // "folder/"
  const fs::path name = named.filename();
  if (name.empty() || name == "." || name == "..")
    reject("'{}': expected the name of a file or folder to write", path.string());
  return named;
}

constexpr std::string_view kStagedPrefix = ".decovec-", kStagedSuffix = ".tmp";

// Calls `create(path)` with fresh hidden names beside `final_path` until one is not taken; `create` returns
// whether it was. The same folder keeps the rename atomic.
template <class Create>
fs::path make_staged(const fs::path& final_path, Create&& create) {
  static std::atomic<uint64_t> counter{0};
  while (true) {
    fs::path staged =
        final_path.parent_path() /
        fmt::format("{}{}-{}{}", kStagedPrefix, static_cast<int64_t>(::getpid()), counter++, kStagedSuffix);
    if (create(staged)) return staged;
  }
}

}  // namespace

void rename_and_flush(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    if (errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR)
      fail("{}: already exists and is not an empty folder; choose another name or remove it", to.string());
    fail("{}: cannot rename the finished '{}' to it: {}", to.string(), from.filename().string(),
         reason(errno));
  }
  flush_to_disk(to.parent_path());
}

std::string read_file(const fs::path& file) {
  // O_NONBLOCK: opening a pipe must not wait for its writer.
  const int descriptor = open_to_read(file, O_NONBLOCK);
  struct stat status {};
  if (::fstat(descriptor, &status) == 0 && !S_ISREG(status.st_mode)) {
    ::close(descriptor);
    fail("{}: expected a regular file", file.string());
  }
  std::string bytes;
  size_t size = 0;
  while (true) {
    if (bytes.size() < size + 4096) bytes.resize(2 * size + (size_t{64} << 10));
    const ssize_t got = retried([&] { return ::read(descriptor, bytes.data() + size, bytes.size() - size); });
    if (got <= 0) {
      const int code = errno;
      ::close(descriptor);
      if (got < 0) fail("{}: cannot read: {}", file.string(), reason(code));
      bytes.resize(size);
      return bytes;
    }
    size += static_cast<size_t>(got);
  }
}

bool file_exists(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::exists(status)) return true;
  if (status.type() != fs::file_type::not_found)
    fail("{}: cannot look at it: {}", path.string(), error.message());
  if (fs::is_symlink(fs::symlink_status(path, error)))
    fail("{}: a link to '{}', which is not there; fetch the file again, or remove the link", path.string(),
         fs::read_symlink(path, error).string());
  return false;
}

void write_file(const fs::path& file, std::string_view bytes) {
  StagedFile staged(file);
  staged.write(bytes);
  staged.commit();
}

StagedFile::StagedFile(fs::path final_path) : final_(named(final_path)) {
  std::error_code ignored;
  const fs::file_status status = fs::status(final_, ignored);
  if (fs::exists(status) && !fs::is_regular_file(status))
    fail("{}: exists and is not a file; choose another name", final_.string());
  staged_ = make_staged(final_, [&](const fs::path& path) {
    descriptor_ =
        retried([&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
    if (descriptor_ < 0 && errno != EEXIST)
      fail("{}: cannot create a file in '{}': {}", final_.string(), final_.parent_path().string(),
           reason(errno));
    return descriptor_ >= 0;
  });
}

StagedFile::~StagedFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(staged_.c_str());
}

void StagedFile::write(std::string_view bytes) {
  write_all(bytes, final_, [&](const char* data, size_t size) { return ::write(descriptor_, data, size); });
}

void StagedFile::write_at(int64_t offset, std::string_view bytes) {
  write_all(bytes, final_, [&](const char* data, size_t size) {
    const ssize_t written = ::pwrite(descriptor_, data, size, offset);
    offset += std::max<ssize_t>(written, 0);
    return written;
  });
}

void StagedFile::commit() {
  flush_to_disk(staged_);
  rename_and_flush(staged_, final_);
  ::close(descriptor_);
  descriptor_ = -1;
}

ParentFolders::ParentFolders(const fs::path& path) {
  const fs::path parent = path.parent_path();
  std::error_code error;
  for (fs::path missing = parent; !missing.empty() && !fs::exists(missing, error);
       missing = missing.parent_path())
    made_.push_back(missing);
  fs::create_directories(parent, error);
  if (error) fail("{}: cannot create the folder '{}': {}", path.string(), parent.string(), error.message());
}

ParentFolders::~ParentFolders() {
  std::error_code error;
  for (const fs::path& folder : made_)
    if (!fs::remove(folder, error)) break;
}

void remove_whole(const fs::path& folder) {
  const fs::path named_folder = named(folder);
  const fs::path hidden = make_staged(named_folder, [&](const fs::path& path) {
    if (fs::exists(fs::symlink_status(path))) return false;
    if (::rename(named_folder.c_str(), path.c_str()) != 0)
      fail("{}: cannot remove it: {}", folder.string(), reason(errno));
    return true;
  });
  fs::remove_all(hidden);
}

void remove_staged(const fs::path& folder) {
  std::vector<fs::path> staged;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kStagedPrefix) && name.ends_with(kStagedSuffix)) staged.push_back(entry.path());
  }
  for (const fs::path& path : staged) fs::remove_all(path);
}

StagedFolder::StagedFolder(fs::path final_path) : final_(named(final_path)), parents_(final_) {
  staged_ = make_staged(final_, [&](const fs::path& path) {
    if (::mkdir(path.c_str(), 0777) == 0) return true;
    if (errno != EEXIST)
      fail("{}: cannot create a folder in '{}': {}", final_.string(), final_.parent_path().string(),
           reason(errno));
    return false;
  });
}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(staged_, ignored);
}

void StagedFolder::commit() {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(staged_))
    if (!entry.is_symlink() && (entry.is_regular_file() || entry.is_directory())) flush_to_disk(entry.path());
  flush_to_disk(staged_);
  rename_and_flush(staged_, final_);
  committed_ = true;
}

}  // namespace decovec
