#include "decovec/data/batch_sampler.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <numeric>
#include <set>

namespace decovec {
namespace {

bool equal(const std::vector<BatchRow>& a, const std::vector<BatchRow>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const BatchRow& x, const BatchRow& y) {
    return x.dataset == y.dataset && x.example == y.example && x.key.value == y.key.value;
  });
}

std::vector<int64_t> examples(const std::vector<BatchRow>& rows) {
  std::vector<int64_t> result;
  for (const BatchRow& row : rows) result.push_back(row.example);
  return result;
}

const std::vector<SampledSet> three_sets = {{.name = "small", .examples = 3, .weight = 1},
                                            {.name = "middle", .examples = 10, .weight = 2.5},
                                            {.name = "large", .examples = 1000, .weight = 0.5}};

/// Of one set in a number of batches.
std::vector<double> counts_by_set(BatchSampler& sampler, int batches, int64_t batch_size) {
  std::vector<double> counts(sampler.positions().size(), 0);
  for (int batch = 0; batch < batches; ++batch)
    for (const BatchRow& row : sampler.next(batch_size)) ++counts[static_cast<size_t>(row.dataset)];
  return counts;
}

/// That `draws` of independent draws took each set with its probability, to four standard deviations.
void expect_shares(const std::vector<double>& counts, const std::vector<double>& shares, double draws) {
  for (size_t set = 0; set < shares.size(); ++set) {
    const double deviation = std::sqrt(draws * shares[set] * (1 - shares[set]));
    EXPECT_NEAR(counts[set], draws * shares[set], 4 * deviation) << set;
  }
}

TEST(BatchSampler, AnEpochTakesEachExampleOnceInANewOrder) {
  BatchSampler sampler({{.name = "set", .examples = 50}}, RandomKey(1));
  std::vector<std::vector<int64_t>> epochs;
  for (int epoch = 0; epoch < 4; ++epoch) {
    std::vector<int64_t>& seen = epochs.emplace_back();
    for (int batch = 0; batch < 5; ++batch) {
      for (int64_t example : examples(sampler.next(10))) seen.push_back(example);
    }
    std::vector<int64_t> sorted = seen;
    std::sort(sorted.begin(), sorted.end());
    for (int64_t i = 0; i < 50; ++i) EXPECT_EQ(sorted[static_cast<size_t>(i)], i);
  }
  EXPECT_EQ(std::set(epochs.begin(), epochs.end()).size(), 4u);
  EXPECT_EQ(sampler.positions(), std::vector<int64_t>{200});
}

TEST(BatchSampler, ABatchMayCrossEpochs) {
  BatchSampler sampler({{.name = "set", .examples = 7}}, RandomKey(2));
  std::vector<int> counts(7, 0);
  for (int64_t example : examples(sampler.next(21))) ++counts[static_cast<size_t>(example)];
  EXPECT_EQ(counts, std::vector<int>(7, 3));
}

TEST(BatchSampler, RowsDrawTheirSetByWeight) {
  BatchSampler sampler(three_sets, RandomKey(3));
  const std::vector<double> counts = counts_by_set(sampler, 200, 100);
  expect_shares(counts, {0.25, 0.625, 0.125}, 20000);
  for (size_t set = 0; set < 3; ++set) EXPECT_EQ(sampler.positions()[set], static_cast<int64_t>(counts[set]));
}

TEST(BatchSampler, AHomogeneousBatchIsOfOneSetDrawnByWeight) {
  BatchSampler sampler(three_sets, RandomKey(3), {.homogeneous_ratio = 1});
  std::vector<double> batches(3, 0);
  for (int batch = 0; batch < 4000; ++batch) {
    const std::vector<BatchRow> rows = sampler.next(4);
    ASSERT_TRUE(
        std::ranges::all_of(rows, [&](const BatchRow& row) { return row.dataset == rows[0].dataset; }));
    ++batches[static_cast<size_t>(rows[0].dataset)];
  }
  expect_shares(batches, {0.25, 0.625, 0.125}, 4000);
}

TEST(BatchSampler, ASemiHomogeneousBatchHasAPartOfOneSet) {
  BatchSampler sampler(three_sets, RandomKey(3), {.homogeneous_ratio = 0.6});
  std::vector<double> batches(3, 0), rest(3, 0);
  for (int batch = 0; batch < 3000; ++batch) {
    const std::vector<BatchRow> rows = sampler.next(12);  // 7 and 5
    for (size_t i = 0; i < 7; ++i) ASSERT_EQ(rows[i].dataset, rows[0].dataset);
    ++batches[static_cast<size_t>(rows[0].dataset)];
    for (size_t i = 7; i < 12; ++i) ++rest[static_cast<size_t>(rows[i].dataset)];
  }
  expect_shares(batches, {0.25, 0.625, 0.125}, 3000);
  expect_shares(rest, {0.25, 0.625, 0.125}, 15000);
}

TEST(BatchSampler, EveryBatchingTakesEachExampleOfASetOnceAnEpoch) {
  for (const double ratio : {0.0, 0.3, 1.0}) {
    BatchSampler sampler(three_sets, RandomKey(4), {.homogeneous_ratio = ratio});
    std::vector<std::vector<int64_t>> seen(3);
    for (int batch = 0; batch < 900; ++batch)
      for (const BatchRow& row : sampler.next(5))
        seen[static_cast<size_t>(row.dataset)].push_back(row.example);
    for (size_t set = 0; set < 3; ++set) {
      const auto size = static_cast<size_t>(three_sets[set].examples);
      EXPECT_EQ(static_cast<int64_t>(seen[set].size()), sampler.positions()[set]);
      for (size_t begin = 0; begin + size <= seen[set].size(); begin += size) {
        const auto first = seen[set].begin() + static_cast<std::ptrdiff_t>(begin);
        EXPECT_EQ(std::set(first, first + static_cast<std::ptrdiff_t>(size)).size(), size);
      }
    }
  }
}

TEST(BatchSampler, TheSizeExponentMakesLargeSetsMoreLikely) {
  const std::vector<SampledSet> sets = {{.name = "a", .examples = 100},
                                        {.name = "b", .examples = 1600},
                                        {.name = "c", .examples = 5000, .weight = 2, .max_examples = 400}};
  BatchSampler by_weight(sets, RandomKey(5)), by_root(sets, RandomKey(5), {.size_exponent = 0.5}),
      by_size(sets, RandomKey(5), {.size_exponent = 1});
  expect_shares(counts_by_set(by_weight, 200, 100), {0.25, 0.25, 0.5}, 20000);
  expect_shares(counts_by_set(by_root, 200, 100), {10 / 90.0, 40 / 90.0, 40 / 90.0}, 20000);
  expect_shares(counts_by_set(by_size, 200, 100), {100 / 2500.0, 1600 / 2500.0, 800 / 2500.0}, 20000);
}

TEST(BatchSampler, ACapTakesTheSameExamplesInEveryStageAndEpoch) {
  const auto seen = [](RandomKey subset, RandomKey key, int64_t most) {
    BatchSampler sampler({{.name = "set", .examples = 500, .max_examples = most, .subset = subset}}, key);
    const std::vector<int64_t> drawn = examples(sampler.next(3 * std::min<int64_t>(most, 500)));
    return std::multiset<int64_t>(drawn.begin(), drawn.end());
  };
  const std::multiset<int64_t> few = seen(RandomKey(1), RandomKey(2), 40);
  EXPECT_EQ(few.size(), 120u);
  for (int64_t example : few) EXPECT_EQ(few.count(example), 3u);
  EXPECT_EQ(seen(RandomKey(1), RandomKey(3), 40), few);
  EXPECT_NE(seen(RandomKey(4), RandomKey(2), 40), few);
  const std::multiset<int64_t> all = seen(RandomKey(1), RandomKey(2), 500);
  EXPECT_EQ(std::set(all.begin(), all.end()).size(), 500u);
  EXPECT_EQ(seen(RandomKey(1), RandomKey(2), 501), seen(RandomKey(9), RandomKey(2), 500));

  // Every example is as likely to be among them.
  std::vector<double> counts(20, 0);
  for (uint64_t trial = 0; trial < 4000; ++trial) {
    BatchSampler sampler({{.name = "set", .examples = 20, .max_examples = 5, .subset = RandomKey(trial)}},
                         RandomKey(1));
    for (int64_t example : examples(sampler.next(5))) ++counts.at(static_cast<size_t>(example));
  }
  for (double count : counts) EXPECT_NEAR(count, 1000, 4 * std::sqrt(4000 * 0.25 * 0.75));
}

TEST(BatchSampler, EachRowHasItsOwnKey) {
  BatchSampler sampler(three_sets, RandomKey(6));
  std::set<uint64_t> keys;
  for (int batch = 0; batch < 50; ++batch)
    for (const BatchRow& row : sampler.next(20)) keys.insert(row.key.value);
  EXPECT_EQ(keys.size(), 1000u);
}

TEST(BatchSampler, TheKeyDecidesEverything) {
  BatchSampler one(three_sets, RandomKey(7)), same(three_sets, RandomKey(7)), other(three_sets, RandomKey(8));
  for (int batch = 0; batch < 20; ++batch) {
    const std::vector<BatchRow> rows = one.next(9);
    EXPECT_TRUE(equal(rows, same.next(9)));
    EXPECT_FALSE(equal(rows, other.next(9)));
  }
}

TEST(BatchSampler, ARestoredSamplerGoesOnExactly) {
  std::vector<SampledSet> sets = three_sets;
  sets[2].max_examples = 17;
  for (const double ratio : {0.0, 0.5, 1.0}) {
    const SamplingOptions options = {.homogeneous_ratio = ratio, .size_exponent = 0.3};
    for (const int64_t done : {0, 1, 5, 13, 40}) {
      BatchSampler whole(sets, RandomKey(9), options), resumed(sets, RandomKey(9), options);
      resumed.next(3);  // a used sampler forgets what it did
      for (int64_t batch = 0; batch < done; ++batch) whole.next(4);
      resumed.restore(whole.positions(), done);
      for (int batch = 0; batch < 10; ++batch) EXPECT_TRUE(equal(whole.next(4), resumed.next(4))) << done;
      EXPECT_EQ(whole.positions(), resumed.positions());
    }
  }
}

TEST(BatchSampler, RefusesWhatCannotBeSampled) {
  const SampledSet good = {.name = "good", .examples = 2};
  const auto rejects = [](std::vector<SampledSet> sets, const SamplingOptions& options = {}) {
    EXPECT_THROW(BatchSampler(std::move(sets), RandomKey(1), options), std::invalid_argument);
  };
  rejects({});
  rejects({{.name = "empty", .examples = 0}});
  rejects({{.name = "negative", .examples = -1}});
  rejects({{.name = "huge", .examples = (int64_t{1} << 32) + 1}});
  rejects({{.name = "cap", .examples = 2, .max_examples = -1}});
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double weight : {0.0, -1.0, std::nan(""), infinity})
    rejects({good, {.name = "weight", .examples = 2, .weight = weight}});
  const double huge = std::numeric_limits<double>::max();
  rejects({{.name = "a", .examples = 2, .weight = huge}, {.name = "b", .examples = 2, .weight = huge}});
  for (const double wrong : {-0.1, 1.1, std::nan(""), infinity}) {
    rejects({good}, {.homogeneous_ratio = wrong});
    rejects({good}, {.size_exponent = wrong});
  }

  BatchSampler sampler({good}, RandomKey(1));
  EXPECT_THROW(sampler.next(0), std::invalid_argument);
  EXPECT_THROW(sampler.restore({}, 0), std::invalid_argument);
  EXPECT_THROW(sampler.restore({-1}, 0), std::invalid_argument);
  EXPECT_THROW(sampler.restore({0}, -1), std::invalid_argument);
  EXPECT_THROW(sampler.restore({std::numeric_limits<int64_t>::max() - 5}, 0), std::invalid_argument);
}

}  // namespace
}  // namespace decovec
