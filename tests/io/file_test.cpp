#include "io/file.hpp"

#include <csignal>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "io/mapped_file.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

TEST(ReadFile, ReturnsEveryByte) {
  const TemporaryFolder folder;
  std::string bytes(300'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * i >> 3);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{65536}, size_t{65537}, bytes.size()}) {
    put(folder / "file", bytes.substr(0, size));
    EXPECT_EQ(read_file(folder / "file"), bytes.substr(0, size));
  }
}

TEST(ReadFile, NamesPathAndReason) {
  const TemporaryFolder folder;
  EXPECT_TRUE(has(message_of([&] { read_file(folder / "none"); }), "none: cannot open: No such file"));
  EXPECT_TRUE(has(message_of([&] { read_file(folder.path()); }), "expected a regular file"));
}

TEST(WriteFile, ReplacesTheFileAndLeavesNothingElse) {
  const TemporaryFolder folder;
  write_file(folder / "file", "one");
  write_file(folder / "file", std::string("two\0three", 9));
  EXPECT_EQ(bytes_of(folder / "file"), std::string("two\0three", 9));
  EXPECT_EQ(folder.names(), Names{"file"});
}

TEST(WriteFile, NamesTheMissingFolder) {
  const TemporaryFolder folder;
  const std::string message = message_of([&] { write_file(folder / "none/file", "x"); });
  EXPECT_TRUE(has(message, "cannot create a file in"));
  EXPECT_TRUE(has(message, "No such file or directory"));
  EXPECT_TRUE(folder.names().empty());
}

TEST(WriteFile, DoesNotReplaceWhatIsNoFile) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "taken");
  EXPECT_TRUE(has(message_of([&] { write_file(folder / "taken", "x"); }), "exists and is not a file"));
  EXPECT_TRUE(has(message_of([&] { write_file("/dev/null", "x"); }), "exists and is not a file"));
  EXPECT_EQ(folder.names(), Names{"taken"});
}

TEST(WriteFile, RejectsWhatIsNoName) {
  for (const char* path : {"", "/", ".", ".."})
    EXPECT_TRUE(has(message_of<std::invalid_argument>([&] { write_file(path, "x"); }), "expected the name"));
}

TEST(WriteFile, ReplacesALinkAndSparesItsTarget) {
  const TemporaryFolder folder;
  put(folder / "target", "old");
  fs::create_symlink(folder / "target", folder / "link");
  write_file(folder / "link", "new");
  EXPECT_EQ(bytes_of(folder / "target"), "old");
  EXPECT_EQ(bytes_of(folder / "link"), "new");
}

TEST(WriteFile, LeavesTheOldFileWhenTheDiskIsFull) {
  const TemporaryFolder folder;
  put(folder / "file", "old");
  std::string message;
  {
    const FileSizeLimit limit(1000);
    message = message_of([&] { write_file(folder / "file", std::string(2000, 'x')); });
  }
  EXPECT_TRUE(has(message, "file: cannot write: File too large"));
  EXPECT_EQ(bytes_of(folder / "file"), "old");
  EXPECT_EQ(folder.names(), Names{"file"});
}

TEST(StagedFile, IsHiddenUntilCommit) {
  const TemporaryFolder folder;
  StagedFile staged(folder / "file");
  staged.write("hello ");
  staged.write("world");
  staged.write_at(0, "J");
  EXPECT_FALSE(fs::exists(folder / "file"));
  EXPECT_EQ(staged.path().parent_path(), folder.path());
  EXPECT_TRUE(staged.path().filename().string().starts_with("."));
  staged.commit();
  EXPECT_EQ(bytes_of(folder / "file"), "Jello world");
  EXPECT_EQ(folder.names(), Names{"file"});
}

TEST(StagedFile, GoesAwayWithoutCommit) {
  const TemporaryFolder folder;
  try {
    StagedFile staged(folder / "file");
    staged.write("half");
    throw std::runtime_error("interrupted");
  } catch (const std::runtime_error&) {
  }
  EXPECT_TRUE(folder.names().empty());
}

TEST(StagedFile, TwoOfOneNameDoNotMeet) {
  const TemporaryFolder folder;
  StagedFile first(folder / "file"), second(folder / "file");
  first.write("first");
  second.write("second");
  second.commit();
  EXPECT_EQ(bytes_of(folder / "file"), "second");
  first.commit();
  EXPECT_EQ(bytes_of(folder / "file"), "first");
  EXPECT_EQ(folder.names(), Names{"file"});
}

TEST(StagedFile, TakesAnotherNameWhereOneIsLeftOver) {
  const TemporaryFolder folder;
  fs::path next;
  {
    // The counter goes up by one a file, so the name after this one is known.
    StagedFile staged(folder / "file");
    const std::string name = staged.path().filename().string();
    const size_t dash = name.rfind('-') + 1;
    next = folder / (name.substr(0, dash) + std::to_string(std::stoull(name.substr(dash)) + 1) + ".tmp");
  }
  put(next, "left over");
  StagedFile staged(folder / "file");
  EXPECT_NE(staged.path(), next);
  staged.commit();
  EXPECT_EQ(bytes_of(next), "left over");
}

TEST(StagedFolder, AppearsWhole) {
  const TemporaryFolder folder;
  StagedFolder staged(folder / "deep/er/model/");
  fs::create_directory(staged.path() / "inner");
  put(staged.path() / "inner/file", "x");
  EXPECT_FALSE(fs::exists(folder / "deep/er/model"));
  staged.commit();
  EXPECT_EQ(bytes_of(folder / "deep/er/model/inner/file"), "x");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder / "deep/er"), {}), 1);
}

TEST(StagedFolder, TakesThePlaceOfAnEmptyFolder) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "model");
  StagedFolder staged(folder / "model");
  put(staged.path() / "file", "x");
  staged.commit();
  EXPECT_EQ(bytes_of(folder / "model/file"), "x");
  EXPECT_EQ(folder.names(), Names{"model"});
}

TEST(StagedFolder, RefusesATakenName) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "model");
  put(folder / "model/old", "old");
  put(folder / "file", "old");
  for (const char* name : {"model", "file"}) {
    StagedFolder staged(folder / name);
    put(staged.path() / "new", "new");
    EXPECT_TRUE(has(message_of([&] { staged.commit(); }), "already exists and is not an empty folder"));
  }
  EXPECT_EQ(bytes_of(folder / "model/old"), "old");
  EXPECT_EQ(bytes_of(folder / "file"), "old");
  EXPECT_EQ(folder.names(), (Names{"model", "file"}));
}

TEST(StagedFolder, GoesAwayWithoutCommit) {
  const TemporaryFolder folder;
  {
    StagedFolder staged(folder / "model");
    fs::create_directory(staged.path() / "inner");
    put(staged.path() / "inner/file", "x");
  }
  EXPECT_TRUE(folder.names().empty());
}

TEST(StagedFolder, TakesTheParentsItMadeAlongUnlessTheyAreUsed) {
  const TemporaryFolder folder;
  { const StagedFolder staged(folder / "deep/er/model"); }
  EXPECT_TRUE(folder.names().empty());
  {
    const StagedFolder staged(folder / "deep/er/model");
    put(folder / "deep/file", "x");
  }
  EXPECT_EQ(bytes_of(folder / "deep/file"), "x");
  EXPECT_FALSE(fs::exists(folder / "deep/er"));
}

TEST(RemoveStaged, TakesWhatAKilledProcessLeftAndNothingElse) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    auto* staged = new StagedFolder(folder / "model");
    put(staged->path() / "file", "x");
    new StagedFile(folder / "file");
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  put(folder / ".decovec-notes", "x");
  put(folder / "other.tmp", "x");
  EXPECT_EQ(folder.names().size(), 4u);
  remove_staged(folder.path());
  EXPECT_EQ(folder.names(), (Names{".decovec-notes", "other.tmp"}));
}

TEST(StagedFolder, NamesTheParentThatCannotBe) {
  const TemporaryFolder folder;
  put(folder / "file", "x");
  EXPECT_TRUE(has(message_of([&] { StagedFolder(folder / "file/model"); }), "Not a directory"));
}

TEST(MappedFile, HoldsTheBytes) {
  const TemporaryFolder folder;
  put(folder / "file", "content");
  put(folder / "empty", "");
  const auto mapped = MappedFile::open(folder / "file");
  EXPECT_EQ(mapped->bytes(), "content");
  EXPECT_EQ(MappedFile::open(folder / "empty")->bytes(), "");
  write_file(folder / "file", "replaced");  // the mapping keeps what it was opened on
  EXPECT_EQ(mapped->bytes(), "content");
  mapped->check_not_shrunk();
}

TEST(MappedFile, NamesPathAndReason) {
  const TemporaryFolder folder;
  EXPECT_TRUE(has(message_of([&] { MappedFile::open(folder / "none"); }), "none: cannot open: No such file"));
  EXPECT_TRUE(has(message_of([&] { MappedFile::open(folder.path()); }), "expected a regular file"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_TRUE(has(message_of([&] { MappedFile::open(folder / "pipe"); }), "expected a regular file"));
}

TEST(MappedFile, NoticesThatTheFileShrank) {
  const TemporaryFolder folder;
  put(folder / "file", "content");
  const auto mapped = MappedFile::open(folder / "file");
  fs::resize_file(folder / "file", 3);
  EXPECT_TRUE(has(message_of([&] { mapped->check_not_shrunk(); }), "shrank from 7 to 3 bytes"));
}

TEST(RemoveWhole, LeavesNothingUnderTheName) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "a" / "b");
  write_file(folder / "a" / "b" / "c", "x");
  remove_whole(folder / "a");
  EXPECT_TRUE(folder.names().empty());
  EXPECT_THROW(remove_whole(folder / "a"), std::runtime_error);
}

}  // namespace
}  // namespace decovec
