#include "world/parallel.hpp"

#include <atomic>
#include <gtest/gtest.h>
#include <set>
#include <thread>

#include <ATen/Parallel.h>

namespace decovec {
namespace {

TEST(ParallelFor, CoversTheRangeOnceOnSeveralThreads) {
  at::set_num_threads(2);
  std::vector<std::atomic<int>> visits(1000);
  std::atomic<int> parts = 0;
  parallel_for(0, 1000, 10, [&](int64_t first, int64_t last) {
    ++parts;
    for (int64_t i = first; i < last; ++i) ++visits[static_cast<size_t>(i)];
  });
  for (const std::atomic<int>& count : visits) EXPECT_EQ(count, 1);
  EXPECT_EQ(parts, 2);
}

TEST(ParallelFor, PassesExceptionsOn) {
  at::set_num_threads(2);
  EXPECT_THROW(parallel_for(0, 1000, 10, [](int64_t, int64_t) { throw std::invalid_argument("no"); }),
               std::invalid_argument);
}

}  // namespace
}  // namespace decovec
