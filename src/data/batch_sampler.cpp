#include "decovec/data/batch_sampler.hpp"

#include <cmath>
#include <utility>

#include "io/error.hpp"

namespace decovec {

BatchSampler::BatchSampler(std::vector<SampledSet> sets, RandomKey key) : sets_(std::move(sets)), key_(key) {
  if (sets_.empty()) reject("BatchSampler: expected one data set or more, got none");
  for (const SampledSet& set : sets_) {
    if (set.dataset == nullptr) reject("BatchSampler: expected a data set, got none");
    const std::string& name = set.dataset->name();
    if (set.dataset->size() == 0) reject("BatchSampler: data set '{}': expected examples, got none", name);
    if (!(set.weight > 0) || !std::isfinite(set.weight)) {
      reject("BatchSampler: data set '{}': weight: expected a finite number above 0, got {}", name,
             set.weight);
    }
    if (set.negatives < 0) {
      reject("BatchSampler: data set '{}': negatives: expected 0 or more, got {}", name, set.negatives);
    }
    total_weight_ += set.weight;
  }
  if (!std::isfinite(total_weight_)) reject("BatchSampler: weights: expected a finite sum, got infinity");
  positions_.assign(sets_.size(), 0);
  shuffled_epoch_.assign(sets_.size(), -1);
  order_.resize(sets_.size());
}

size_t BatchSampler::draw_set(RandomKey key) const {
  double left = random_uniform(key) * total_weight_;
  size_t set = 0;
  while (set + 1 < sets_.size() && left >= sets_[set].weight) left -= sets_[set++].weight;
  return set;
}

int64_t BatchSampler::next_example(size_t set) {
  const int64_t size = sets_[set].dataset->size();
  const int64_t position = positions_[set]++;
  const int64_t epoch = position / size;
  if (shuffled_epoch_[set] != epoch) {
    const RandomKey key = key_.with("order").with(static_cast<uint64_t>(set));
    order_[set] = random_permutation(key.with(static_cast<uint64_t>(epoch)), size);
    shuffled_epoch_[set] = epoch;
  }
  return order_[set][static_cast<size_t>(position % size)];
}

std::vector<BatchRow> BatchSampler::next(int64_t batch_size) {
  if (batch_size < 1) reject("BatchSampler: batch size: expected 1 or more, got {}", batch_size);
  const RandomKey batch_key = key_.with("batch").with(static_cast<uint64_t>(batches_++));
  std::vector<BatchRow> rows;
  for (int64_t i = 0; i < batch_size; ++i) {
    const RandomKey key = batch_key.with(static_cast<uint64_t>(i));
    const size_t set = draw_set(key.with("set"));
    BatchRow row;
    row.dataset = static_cast<int64_t>(set);
    row.example = next_example(set);
    const ExampleCounts counts = sets_[set].dataset->counts(row.example);
    row.positive =
        static_cast<int64_t>(random_below(key.with("positive"), static_cast<uint64_t>(counts.positives)));
    row.negatives = random_permutation(key.with("negatives"), counts.negatives);
    if (static_cast<int64_t>(row.negatives.size()) > sets_[set].negatives) {
      row.negatives.resize(static_cast<size_t>(sets_[set].negatives));
    }
    rows.push_back(std::move(row));
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
