#include "decovec/data/batch_sampler.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/error.hpp"
#include "world/draws.hpp"

namespace decovec {
namespace {

constexpr int64_t kMostExamples = int64_t{1} << 32;

void check(const SampledSet& set) {
  const auto expect = [&](bool right, const char* what, const char* expected, auto given) {
    if (!right)
      reject("BatchSampler: data set '{}': {}: expected {}, got {}", set.name, what, expected, given);
  };
  expect(set.examples > 0, "examples", "1 or more", set.examples);
  expect(set.examples <= kMostExamples, "examples", "at most 2^32", set.examples);
  expect(set.max_examples >= 0, "max_examples", "0 (all) or more", set.max_examples);
  expect(set.weight > 0 && std::isfinite(set.weight), "weight", "a finite number above 0", set.weight);
}

}  // namespace

BatchSampler::BatchSampler(std::vector<SampledSet> sets, RandomKey key, const SamplingOptions& options)
    : sets_(std::move(sets)), key_(key), options_(options) {
  if (sets_.empty()) reject("BatchSampler: expected one data set or more, got none");
  for (const auto& [what, value] : {std::pair{"homogeneous_ratio", options_.homogeneous_ratio},
                                    {"size_exponent", options_.size_exponent}})
    if (!(value >= 0 && value <= 1)) reject("BatchSampler: {}: expected 0 to 1, got {}", what, value);
  subset_.resize(sets_.size());
  for (size_t i = 0; i < sets_.size(); ++i) {
    const SampledSet& set = sets_[i];
    check(set);
    weight_.push_back(set.weight * std::pow(static_cast<double>(size(i)), options_.size_exponent));
    total_weight_ += weight_.back();
    if (size(i) == set.examples) continue;
    const std::vector<int64_t> sample = random_sample(set.subset, set.max_examples, set.examples);
    subset_[i].assign(sample.begin(), sample.end());
  }
  if (!std::isfinite(total_weight_)) reject("BatchSampler: weights: expected a finite sum, got infinity");
  positions_.assign(sets_.size(), 0);
  shuffled_epoch_.assign(sets_.size(), -1);
  order_.resize(sets_.size());
}

int64_t BatchSampler::size(size_t set) const {
  const int64_t most = sets_[set].max_examples;
  return most == 0 ? sets_[set].examples : std::min(most, sets_[set].examples);
}

size_t BatchSampler::draw_set(RandomKey key) const {
  double left = random_uniform(key) * total_weight_;
  size_t set = 0;
  while (set + 1 < sets_.size() && left >= weight_[set]) left -= weight_[set++];
  return set;
}

int64_t BatchSampler::next_example(size_t set) {
  const int64_t position = positions_[set]++, epoch = position / size(set);
  if (shuffled_epoch_[set] != epoch) {
    const RandomKey key = key_.with("order").with(static_cast<uint64_t>(set));
    order_[set] = random_order<uint32_t>(key.with(static_cast<uint64_t>(epoch)), size(set));
    shuffled_epoch_[set] = epoch;
  }
  const uint32_t drawn = order_[set][static_cast<size_t>(position % size(set))];
  return subset_[set].empty() ? drawn : subset_[set][drawn];
}

std::vector<BatchRow> BatchSampler::next(int64_t batch_size) {
  if (batch_size < 1) reject("BatchSampler: batch size: expected 1 or more, got {}", batch_size);
  const RandomKey batch_key = key_.with("batch").with(static_cast<uint64_t>(batches_++));
  const size_t set_of_batch = draw_set(batch_key.with("set"));
  const int64_t of_one_set = std::llround(options_.homogeneous_ratio * static_cast<double>(batch_size));
  std::vector<BatchRow> rows;
  for (int64_t i = 0; i < batch_size; ++i) {
    const RandomKey key = batch_key.with(static_cast<uint64_t>(i));
    const size_t set = i < of_one_set ? set_of_batch : draw_set(key.with("set"));
    rows.push_back({static_cast<int64_t>(set), next_example(set), key});
  }
  return rows;
}

void BatchSampler::restore(std::vector<int64_t> positions, int64_t batches) {
  if (positions.size() != sets_.size()) {
    reject("BatchSampler: positions: expected one a data set ({}), got {}", sets_.size(), positions.size());
  }
  constexpr int64_t kMost = int64_t{1} << 62;  // far from overflow, whatever is drawn next
  for (int64_t position : positions) {
    if (position < 0 || position > kMost)
      reject("BatchSampler: positions: expected 0 to {}, got {}", kMost, position);
  }
  if (batches < 0) reject("BatchSampler: batches: expected 0 or more, got {}", batches);
  positions_ = std::move(positions);
  batches_ = batches;
}

}  // namespace decovec
