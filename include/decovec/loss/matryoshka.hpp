#pragma once
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/loss/embeddings.hpp"
#include "decovec/loss/relation.hpp"

namespace decovec {

struct MatryoshkaOptions {
  std::vector<int64_t> dimensions = {};  ///< each at most the embeddings' width; name that too
  std::vector<double> weights = {};      ///< of each dimension's loss; empty: 1
  /// Only so many dimensions, drawn anew for each batch by the relation's key; 0: all. Their losses are not
  /// weighted up.
  int64_t dimensions_per_batch = 0;
};

/// Throws std::invalid_argument for no dimensions, dimensions below 1 or that repeat, weights of another
/// number, below 0, or all 0, and more dimensions_per_batch than there are.
void validate(const MatryoshkaOptions& options);

/// The sum over dimensions of weight * `loss` of the vectors cut to their first so many columns and divided
/// by their lengths. The guide's vectors stay whole. Counts are those of the widest. Throws
/// std::invalid_argument for options that `validate` refuses, dimensions that exceed the embeddings' width,
/// and what `loss` throws. Source: Kusupati et al. 2022, arXiv:2205.13147.
at::Tensor matryoshka(const Loss& loss, const Embeddings& embeddings, const Relation& relation,
                      const MatryoshkaOptions& options, FilterCounts* counts = nullptr);

}  // namespace decovec
