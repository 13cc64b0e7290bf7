#include "train/outputs.hpp"

#include <gtest/gtest.h>

#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

TEST(Outputs, OverlapHoweverTheyAreWritten) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "real");
  fs::create_symlink("real", folder / "link");
  const fs::path q = folder / "q";
  EXPECT_TRUE(overlap(q, folder / "q/"));
  EXPECT_TRUE(overlap(q, folder / "x/../q"));
  EXPECT_TRUE(overlap(q, fs::relative(q)));
  EXPECT_TRUE(overlap(q, folder / "q/inner"));
  EXPECT_TRUE(overlap(folder / "q/inner", q));
  EXPECT_TRUE(overlap(folder / "link/q", folder / "real/q/"));
  EXPECT_FALSE(overlap(q, folder / "q.checkpoint"));
  EXPECT_FALSE(overlap(q, folder / "qq"));
  EXPECT_FALSE(overlap(folder / "real/a", folder / "real/b"));
}

TEST(Outputs, TwoThatOverlapAreNamed) {
  check_apart({{"output", "out"}, {"log", "out.log"}, {"curve", "curve"}});
  EXPECT_EQ(message_of([] {
              check_apart({{"output", "out"}, {"log", "out.log"}, {"extra", "out/x"}});
            }),
            "out/x: extra: expected a place apart from output (out); choose another name");
}

TEST(Outputs, AFolderMayAppearWhereNothingOrAnEmptyFolderIs) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "full/inner");
  fs::create_directory(folder / "empty");
  put(folder / "file", "x");
  fs::create_symlink("nowhere", folder / "dangling");
  fs::create_symlink("empty", folder / "link");
  for (const char* name : {"absent", "absent/", "empty", "empty/"})
    EXPECT_TRUE(is_free(folder / name)) << name;
  for (const char* name : {"full", "full/", "file", "dangling", "dangling/", "link", "link/"})
    EXPECT_FALSE(is_free(folder / name)) << name;
}

TEST(Outputs, FilesAreComparedByteByByte) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "expected/inner");
  put(folder / "expected/inner/file", "content");
  fs::copy(folder / "expected", folder / "same", fs::copy_options::recursive);
  put(folder / "same/more", "x");
  EXPECT_TRUE(holds_files_of(folder / "expected", folder / "same"));
  put(folder / "same/inner/file", "contents");
  EXPECT_FALSE(holds_files_of(folder / "expected", folder / "same"));
  fs::remove(folder / "same/inner/file");
  EXPECT_FALSE(holds_files_of(folder / "expected", folder / "same"));
  EXPECT_FALSE(holds_files_of(folder / "expected", folder / "absent"));
}

}  // namespace
}  // namespace decovec
