#include "decovec/world/random.hpp"

#include <gtest/gtest.h>
#include <set>

#include "decovec/world/world.hpp"

namespace decovec {
namespace {

TEST(Random, DependsOnEveryPartOfTheKey) {
  const RandomKey key(1);
  std::set<uint64_t> seen = {random_bits(key),
                             random_bits(RandomKey(2)),
                             random_bits(key.with(0)),
                             random_bits(key.with(1)),
                             random_bits(key.with(1).with(2)),
                             random_bits(key.with(2).with(1)),
                             random_bits(key.with("")),
                             random_bits(key.with("a")),
                             random_bits(key.with("b")),
                             random_bits(key.with("a").with("b")),
                             random_bits(key.with("ab"))};
  EXPECT_EQ(seen.size(), 11u);
  EXPECT_EQ(random_bits(RandomKey(7).with("x")), random_bits(RandomKey(7).with("x")));
}

TEST(Random, BelowIsUniform) {
  std::vector<int> counts(7, 0);
  for (uint64_t i = 0; i < 70000; ++i) ++counts[random_below(RandomKey(3).with(i), 7)];
  for (int count : counts) EXPECT_NEAR(count, 10000, 500);  // five standard deviations are 463
  EXPECT_EQ(random_below(RandomKey(3), 1), 0u);
  EXPECT_THROW(random_below(RandomKey(3), 0), std::invalid_argument);
}

TEST(Random, PermutationsAreWholeAndEquallyLikely) {
  std::map<std::vector<int64_t>, int> counts;
  for (uint64_t i = 0; i < 6000; ++i) ++counts[random_permutation(RandomKey(5).with(i), 3)];
  EXPECT_EQ(counts.size(), 6u);
  for (const auto& [order, count] : counts) EXPECT_NEAR(count, 1000, 150);
  EXPECT_TRUE(random_permutation(RandomKey(5), 0).empty());
}

TEST(Random, NormalsHaveTheirMoments) {
  const at::Tensor values = random_normal(RandomKey(9), {3, 33333}, 2.0);
  EXPECT_NEAR(values.mean().item<double>(), 0.0, 0.03);
  EXPECT_NEAR(values.std().item<double>(), 2.0, 0.03);
  EXPECT_NEAR((values.abs() < 2.0).to(at::kDouble).mean().item<double>(), 0.6827, 0.01);
}

TEST(World, OneProcessGathersAndReducesItself) {
  World world;
  at::Tensor rows = at::arange(6, at::kFloat).view({2, 3});
  EXPECT_TRUE(world.gather(rows).equal(rows));
  at::Tensor sum = rows.clone();
  world.reduce(sum);
  EXPECT_TRUE(sum.equal(rows));
  EXPECT_EQ(world.size(), 1);
  EXPECT_EQ(world.rank(), 0);
}

}  // namespace
}  // namespace decovec
