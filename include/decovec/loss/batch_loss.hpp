#pragma once
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/loss/embeddings.hpp"
#include "decovec/loss/relation.hpp"

namespace decovec {

/// One term of a sum of losses.
struct LossTerm {
  Loss loss;
  double weight = 1.0;
  std::vector<int32_t> sets = {};  ///< it is for the rows of these data sets alone; empty: of all
};

/// The weighted sum of losses of one batch, ready for any range of its rows. Terms for single data sets see
/// the rows of those sets as a batch of their own, and count by their part of all rows: so a row weighs the
/// same wherever it is from, and a batch of one set alone is that set's loss times its weight.
class BatchLoss {
 public:
  /// Keeps a reference to the relation. Throws std::invalid_argument for no terms, weights that are not
  /// positive, and sets that the relation does not know of.
  BatchLoss(std::vector<LossTerm> terms, const Relation& relation);

  at::Tensor operator()(const Embeddings& embeddings, FilterCounts* counts = nullptr) const;

 private:
  std::vector<LossTerm> terms_;
  std::vector<Relation::Part> parts_;  // of each term; without queries where it takes the whole batch or none
  const Relation& relation_;
};

}  // namespace decovec
