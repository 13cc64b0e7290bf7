#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "decovec/world/random.hpp"

namespace decovec {

/// One row of a batch: an example of a data set, and the key of all that is drawn for it.
struct BatchRow {
  int64_t dataset = 0;
  int64_t example = 0;
  RandomKey key = RandomKey(0);
};

/// What the sampler needs to know of a data set.
struct SampledSet {
  std::string name;      ///< for errors
  int64_t examples = 0;  ///< at most 2^32
  double weight = 1.0;   ///< see SamplingOptions
  /// Only so many examples are taken, drawn once by `subset`; 0: all.
  int64_t max_examples = 0;
  RandomKey subset = RandomKey(0);
};

/// A draw takes a set with probability weight * size^size_exponent over the sum of all sets', where the size
/// is the number of examples, or max_examples where that is less.
struct SamplingOptions {
  /// The part of a batch's rows, rounded, that come from one data set, drawn anew for each batch; the other
  /// rows draw one each. 0: blended batches, 1: homogeneous ones, between: semi-homogeneous, as KaLM trains
  /// (github.com/HITsz-TMG/KaLM-Embedding, train/data.py).
  double homogeneous_ratio = 0;
  /// 0: the weights alone; 1: by size; between: sampling with temperature 1 / size_exponent. Source: Conneau
  /// and Lample 2019, arXiv:1901.07291.
  double size_exponent = 0;
};

/// Draws batches: each set is shuffled anew every epoch and walked without replacement, over batches and past
/// the ends of epochs, so no batch is smaller than the others and nothing is left over. All draws are keyed
/// (see RandomKey), so the state is one position a set. Memory: 4 bytes an example.
class BatchSampler {
 public:
  /// `key` says what the draws are for: seed and stage. Throws std::invalid_argument for an empty set, one
  /// with more than 2^32 examples, max_examples below 0, a weight that is not positive and finite, and
  /// options out of range.
  BatchSampler(std::vector<SampledSet> sets, RandomKey key, const SamplingOptions& options = {});

  /// The rows of the next batch. Throws std::invalid_argument for a batch size below 1.
  std::vector<BatchRow> next(int64_t batch_size);

  /// Rows drawn so far of each set: all that a resumed run needs.
  const std::vector<int64_t>& positions() const { return positions_; }
  /// Goes on from the positions of another sampler over the same sets, key and options, `batches` batches
  /// into its run. Throws std::invalid_argument for positions that do not fit the sets.
  void restore(std::vector<int64_t> positions, int64_t batches);

 private:
  int64_t size(size_t set) const;
  size_t draw_set(RandomKey key) const;
  int64_t next_example(size_t set);

  std::vector<SampledSet> sets_;
  RandomKey key_;
  SamplingOptions options_;
  std::vector<double> weight_;
  double total_weight_ = 0;
  int64_t batches_ = 0;
  std::vector<int64_t> positions_;
  std::vector<std::vector<uint32_t>> subset_;  // of a set with more than max_examples
  std::vector<int64_t> shuffled_epoch_;        // whose order `order_` holds
  std::vector<std::vector<uint32_t>> order_;
};

}  // namespace decovec
