#include "world/memory.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include <c10/core/CachingDeviceAllocator.h>

namespace decovec {
namespace {

namespace fs = std::filesystem;

/// The number behind a word at a line's beginning, or at the file's where the word is empty.
std::optional<int64_t> number_in(const fs::path& file, const std::string& word = "") {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    if (!line.starts_with(word)) continue;
    std::istringstream rest(line.substr(word.size()));
    int64_t value = 0;
    if (rest >> value) return value;
    return std::nullopt;  // "max"
  }
  return std::nullopt;
}

/// What a control group's limit leaves. Pages of files that nobody uses count as free.
std::optional<int64_t> left_in(const fs::path& group, bool second_version) {
  const auto limit = number_in(group / (second_version ? "memory.max" : "memory.limit_in_bytes"));
  const auto used = number_in(group / (second_version ? "memory.current" : "memory.usage_in_bytes"));
  if (!limit || !used) return std::nullopt;
  const auto idle =
      number_in(group / "memory.stat", second_version ? "inactive_file " : "total_inactive_file ");
  return std::max<int64_t>(0, *limit - *used + idle.value_or(0));
}

}  // namespace

std::optional<int64_t> free_memory_by(const fs::path& root) {
  std::optional<int64_t> least;
  const auto take = [&](std::optional<int64_t> bytes) {
    if (bytes) least = std::min(*bytes, least.value_or(std::numeric_limits<int64_t>::max()));
  };
  if (const auto available = number_in(root / "proc" / "meminfo", "MemAvailable:")) take(*available * 1024);

  // Lines "id:controllers:/group"; the second version's has no controllers. A group's limits hold for those
  // below it, and inside a container its own group may be what is mounted.
  std::ifstream groups(root / "proc" / "self" / "cgroup");
  std::string line;
  while (std::getline(groups, line)) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const bool second_version = controllers == ",,";
    if (!second_version && controllers.find(",memory,") == std::string::npos) continue;
    fs::path mount = root / "sys" / "fs" / "cgroup";
    if (!second_version) mount /= "memory";
    fs::path below = fs::path(line.substr(second + 1)).relative_path().lexically_normal();
    while (true) {
      take(left_in(mount / below, second_version));
      if (below.empty()) break;
      below = below.parent_path();
    }
  }
  return least;
}

std::optional<int64_t> free_memory(at::Device device) {
  if (device.is_cpu()) return free_memory_by("/");
  const auto [free, total] = c10::getDeviceAllocator(device.type())
                                 ->getMemoryInfo(device.has_index() ? device.index() : at::DeviceIndex{0});
  return static_cast<int64_t>(free);
}

}  // namespace decovec
