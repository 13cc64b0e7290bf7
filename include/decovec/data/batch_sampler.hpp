#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "decovec/data/dataset.hpp"
#include "decovec/world/random.hpp"

namespace decovec {

/// One row of a batch: an example and what was drawn of it.
struct BatchRow {
  int64_t dataset = 0;
  int64_t example = 0;
  int64_t positive = 0;            ///< index into the example's positives
  std::vector<int64_t> negatives;  ///< indices into its negatives, without repetition
};

/// What the sampler needs to know of a data set.
struct SampledSet {
  const Dataset* dataset = nullptr;  ///< kept by the caller
  double weight = 1.0;               ///< a row draws this set with probability weight / sum of weights
  int64_t negatives = 0;             ///< negatives a row takes, fewer where the example has fewer
};

/// Draws blended batches: each row draws its data set by weight; each set is shuffled anew every epoch and
/// walked without replacement. All draws are keyed (see RandomKey), so the state is one position a set.
class BatchSampler {
 public:
  /// `key` says what the draws are for: seed and stage. Throws std::invalid_argument for an empty set, a
  /// weight that is not positive and finite, negatives below 0.
  BatchSampler(std::vector<SampledSet> sets, RandomKey key);

  /// The rows of the next batch. Throws std::invalid_argument for a batch size below 1.
  std::vector<BatchRow> next(int64_t batch_size);

  /// Rows drawn so far of each set: all that a resumed run needs.
  const std::vector<int64_t>& positions() const { return positions_; }
  /// Goes on from the positions of another sampler over the same sets and key, `batches` batches into its
  /// run. Throws std::invalid_argument for positions that do not fit the sets.
  void restore(std::vector<int64_t> positions, int64_t batches);

 private:
  size_t draw_set(RandomKey key) const;
  int64_t next_example(size_t set);

  std::vector<SampledSet> sets_;
  RandomKey key_;
  double total_weight_ = 0;
  int64_t batches_ = 0;
  std::vector<int64_t> positions_;
  std::vector<int64_t> shuffled_epoch_;  // whose order `order_` holds
  std::vector<std::vector<int64_t>> order_;
};

}  // namespace decovec
