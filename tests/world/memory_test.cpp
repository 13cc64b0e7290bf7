#include "world/memory.hpp"

#include <gtest/gtest.h>

#include "io/file.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

class FreeMemory : public testing::Test {
 protected:
  const TemporaryFolder root_;

  void write(const std::string& file, const std::string& text) {
    std::filesystem::create_directories((root_ / file).parent_path());
    write_file(root_ / file, text);
  }
};

TEST_F(FreeMemory, IsWhatTheMachineHasAvailable) {
  EXPECT_EQ(free_memory_by(root_.path()), std::nullopt);
  write("proc/meminfo", "MemTotal:       24684092 kB\nMemFree:  1 kB\nMemAvailable:   17664836 kB\n");
  EXPECT_EQ(free_memory_by(root_.path()), int64_t{17664836} * 1024);
}

TEST_F(FreeMemory, IsWhatTheGroupOrOneAboveItLeaves) {
  write("proc/meminfo", "MemAvailable:   1000 kB\n");
  write("proc/self/cgroup", "0::/jobs/7/step\n");
  write("sys/fs/cgroup/jobs/7/step/memory.max", "max\n");
  write("sys/fs/cgroup/jobs/7/step/memory.current", "10\n");
  EXPECT_EQ(free_memory_by(root_.path()), 1000 * 1024);
  write("sys/fs/cgroup/jobs/7/memory.max", "5000\n");
  write("sys/fs/cgroup/jobs/7/memory.current", "4500\n");
  EXPECT_EQ(free_memory_by(root_.path()), 500);
  write("sys/fs/cgroup/jobs/7/memory.stat", "anon 3000\ninactive_file 1200\n");
  EXPECT_EQ(free_memory_by(root_.path()), 1700);
  write("sys/fs/cgroup/jobs/7/memory.current", "9000\n");
  EXPECT_EQ(free_memory_by(root_.path()), 0);
}

TEST_F(FreeMemory, KnowsTheFirstVersionOfGroups) {
  write("proc/meminfo", "MemAvailable:   1000 kB\n");
  write("proc/self/cgroup", "9:name=systemd:/\n5:cpu,memory:/docker/abc\n0::/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9000\n");  // the group is what is mounted
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "2000\n");
  write("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 100\n");
  EXPECT_EQ(free_memory_by(root_.path()), 7100);
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(free_memory_by(root_.path()), 1000 * 1024);
}

TEST_F(FreeMemory, OfThisMachineIsSomething) { EXPECT_GT(free_memory(at::kCPU).value(), 1 << 20); }

}  // namespace
}  // namespace decovec
