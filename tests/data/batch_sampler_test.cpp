#include "decovec/data/batch_sampler.hpp"

#include <gtest/gtest.h>
#include <limits>
#include <set>

namespace decovec {
namespace {

Dataset make_set(int64_t size, int64_t positives = 1, int64_t negatives = 0) {
  std::vector<Example> examples;
  const auto texts = [](const char* name, int64_t count) {
    std::vector<std::string> result;
    for (int64_t i = 0; i < count; ++i) result.push_back(fmt::format("{} {}", name, i));
    return result;
  };
  for (int64_t i = 0; i < size; ++i) {
    examples.push_back(
        {fmt::format("query {}", i), texts("positive", positives), texts("negative", negatives)});
  }
  return {"set", std::move(examples)};
}

bool equal(const std::vector<BatchRow>& a, const std::vector<BatchRow>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const BatchRow& x, const BatchRow& y) {
    return x.dataset == y.dataset && x.example == y.example && x.positive == y.positive &&
           x.negatives == y.negatives;
  });
}

std::vector<int64_t> examples(const std::vector<BatchRow>& rows) {
  std::vector<int64_t> result;
  for (const BatchRow& row : rows) result.push_back(row.example);
  return result;
}

TEST(BatchSampler, AnEpochTakesEachExampleOnceInANewOrder) {
  const Dataset set = make_set(50);
  BatchSampler sampler({{.dataset = &set}}, RandomKey(1));
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
  const Dataset set = make_set(7);
  BatchSampler sampler({{.dataset = &set}}, RandomKey(2));
  std::vector<int> counts(7, 0);
  for (int64_t example : examples(sampler.next(21))) ++counts[static_cast<size_t>(example)];
  EXPECT_EQ(counts, std::vector<int>(7, 3));
}

TEST(BatchSampler, RowsDrawTheirSetByWeight) {
  const Dataset small = make_set(3), middle = make_set(10), large = make_set(1000);
  BatchSampler sampler({{.dataset = &small, .weight = 1},
                        {.dataset = &middle, .weight = 2.5},
                        {.dataset = &large, .weight = 0.5}},
                       RandomKey(3));
  const double total = 20000;
  std::vector<double> counts(3, 0);
  for (int batch = 0; batch < 200; ++batch) {
    for (const BatchRow& row : sampler.next(100)) ++counts[static_cast<size_t>(row.dataset)];
  }
  const std::vector<double> shares = {0.25, 0.625, 0.125};
  for (size_t set = 0; set < 3; ++set) {
    const double deviation = std::sqrt(total * shares[set] * (1 - shares[set]));
    EXPECT_NEAR(counts[set], total * shares[set], 4 * deviation);
    EXPECT_EQ(sampler.positions()[set], static_cast<int64_t>(counts[set]));
  }
}

TEST(BatchSampler, NegativesAreDistinctAndAllAreReached) {
  const Dataset set = make_set(1, 1, 10);
  BatchSampler sampler({{.dataset = &set, .negatives = 3}}, RandomKey(4));
  std::vector<double> counts(10, 0);
  for (const BatchRow& row : sampler.next(5000)) {
    ASSERT_EQ(row.negatives.size(), 3u);
    EXPECT_EQ(std::set(row.negatives.begin(), row.negatives.end()).size(), 3u);
    for (int64_t negative : row.negatives) ++counts.at(static_cast<size_t>(negative));
  }
  for (double count : counts) EXPECT_NEAR(count, 1500, 4 * std::sqrt(5000 * 0.3 * 0.7));
}

TEST(BatchSampler, TakesFewerNegativesWhereFewerExist) {
  const Dataset two = make_set(5, 1, 2), none = make_set(5, 1, 0);
  BatchSampler sampler({{.dataset = &two, .negatives = 7}, {.dataset = &none, .negatives = 7}}, RandomKey(5));
  for (BatchRow& row : sampler.next(100)) {
    std::sort(row.negatives.begin(), row.negatives.end());
    EXPECT_EQ(row.negatives, row.dataset == 0 ? (std::vector<int64_t>{0, 1}) : std::vector<int64_t>{});
  }
}

TEST(BatchSampler, PositivesAreDrawnEvenly) {
  const Dataset set = make_set(4, 3);
  BatchSampler sampler({{.dataset = &set}}, RandomKey(6));
  std::vector<double> counts(3, 0);
  for (const BatchRow& row : sampler.next(3000)) ++counts.at(static_cast<size_t>(row.positive));
  for (double count : counts) EXPECT_NEAR(count, 1000, 4 * std::sqrt(3000 * 2 / 9.0));
}

TEST(BatchSampler, TheKeyDecidesEverything) {
  const Dataset first = make_set(40, 2, 5), second = make_set(30, 3, 4);
  const std::vector<SampledSet> sets = {{.dataset = &first, .negatives = 2},
                                        {.dataset = &second, .weight = 2, .negatives = 3}};
  BatchSampler one(sets, RandomKey(7)), same(sets, RandomKey(7)), other(sets, RandomKey(8));
  for (int batch = 0; batch < 20; ++batch) {
    const std::vector<BatchRow> rows = one.next(9);
    EXPECT_TRUE(equal(rows, same.next(9)));
    EXPECT_FALSE(equal(rows, other.next(9)));
  }
}

TEST(BatchSampler, ARestoredSamplerGoesOnExactly) {
  const Dataset first = make_set(11, 2, 5), second = make_set(6, 3, 4);
  const std::vector<SampledSet> sets = {{.dataset = &first, .negatives = 2},
                                        {.dataset = &second, .weight = 2, .negatives = 3}};
  for (const int64_t done : {0, 1, 5, 13}) {
    BatchSampler whole(sets, RandomKey(9)), resumed(sets, RandomKey(9));
    resumed.next(3);  // a used sampler forgets what it did
    for (int64_t batch = 0; batch < done; ++batch) whole.next(4);
    resumed.restore(whole.positions(), done);
    for (int batch = 0; batch < 10; ++batch) EXPECT_TRUE(equal(whole.next(4), resumed.next(4))) << done;
    EXPECT_EQ(whole.positions(), resumed.positions());
  }
}

TEST(BatchSampler, RefusesWhatCannotBeSampled) {
  const Dataset good = make_set(2), empty = make_set(0);
  const auto rejects = [](std::vector<SampledSet> sets) {
    EXPECT_THROW(BatchSampler(std::move(sets), RandomKey(1)), std::invalid_argument);
  };
  rejects({});
  rejects({{.dataset = nullptr}});
  rejects({{.dataset = &empty}});
  rejects({{.dataset = &good, .negatives = -1}});
  for (const double weight : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    rejects({{.dataset = &good}, {.dataset = &good, .weight = weight}});
  }
  const double huge = std::numeric_limits<double>::max();
  rejects({{.dataset = &good, .weight = huge}, {.dataset = &good, .weight = huge}});

  BatchSampler sampler({{.dataset = &good}}, RandomKey(1));
  EXPECT_THROW(sampler.next(0), std::invalid_argument);
  EXPECT_THROW(sampler.restore({}, 0), std::invalid_argument);
  EXPECT_THROW(sampler.restore({-1}, 0), std::invalid_argument);
  EXPECT_THROW(sampler.restore({0}, -1), std::invalid_argument);
  EXPECT_THROW(sampler.restore({std::numeric_limits<int64_t>::max() - 5}, 0), std::invalid_argument);
}

}  // namespace
}  // namespace decovec
