#include "io/file_lock.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

TEST(FileLock, IsHeldByOne) {
  const TemporaryFolder folder;
  const fs::path file = folder / "run.lock";
  {
    const FileLock lock(file, "taken");
    EXPECT_EQ(message_of([&] { FileLock(file, "taken"); }), file.string() + ": taken");
    EXPECT_TRUE(fs::exists(file));
  }
  EXPECT_EQ(folder.names(), std::set<std::string>{});
  const FileLock again(file, "taken");
}

TEST(FileLock, IsHeldAgainstOtherProcessesAndEndsWithItsOwn) {
  const TemporaryFolder folder;
  const fs::path file = folder / "run.lock";
  const auto in_child = [&](auto&& body) {
    const pid_t child = ::fork();
    if (child == 0) {
      body();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  const auto taken = [&] {
    try {
      const FileLock lock(file, "taken");
    } catch (const std::runtime_error&) {
      ::_exit(7);
    }
  };
  EXPECT_EQ(in_child(taken), 0);
  {
    const FileLock lock(file, "taken");
    EXPECT_EQ(in_child(taken), 7);
  }
  EXPECT_EQ(in_child([&] {
              new FileLock(file, "taken");  // never destroyed, as in a process that is killed
              ::_exit(3);
            }),
            3);
  EXPECT_TRUE(fs::exists(file));
  EXPECT_EQ(in_child(taken), 0);
}

TEST(FileLock, LeavesNoEmptyFoldersAndNoOthers) {
  const TemporaryFolder folder;
  { const FileLock lock(folder / "a/b/run.lock", "taken"); }
  EXPECT_EQ(folder.names(), std::set<std::string>{});
  {
    const FileLock lock(folder / "a/b/run.lock", "taken");
    put(folder / "a/kept", "");
  }
  EXPECT_TRUE(fs::exists(folder / "a/kept"));
  EXPECT_FALSE(fs::exists(folder / "a/b"));
}

TEST(FileLock, RefusesAndKeepsWhatIsNoLockFile) {
  const TemporaryFolder folder;
  put(folder / "notes.lock", "notes");
  EXPECT_TRUE(has(message_of([&] { FileLock(folder / "notes.lock", "taken"); }), "notes.lock: stands where"));
  EXPECT_EQ(bytes_of(folder / "notes.lock"), "notes");
  fs::create_directory(folder / "run.lock");
  EXPECT_TRUE(has(message_of([&] { FileLock(folder / "run.lock", "taken"); }), "run.lock: cannot create"));
  fs::create_symlink("nowhere", folder / "link.lock");
  EXPECT_TRUE(has(message_of([&] { FileLock(folder / "link.lock", "taken"); }), "link.lock: cannot create"));
  EXPECT_TRUE(has(message_of([&] { FileLock("/proc/none/run.lock", "taken"); }), "/proc/none"));
}

}  // namespace
}  // namespace decovec
