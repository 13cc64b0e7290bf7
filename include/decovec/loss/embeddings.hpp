#pragma once
#include <cstdint>
#include <functional>

#include <ATen/core/Tensor.h>

#include "decovec/loss/relation.hpp"

namespace decovec {

/// The vectors of a global batch, and the rows whose share of a loss is asked for. A row is a query with the
/// documents that were drawn for it.
///
/// Shares of disjoint ranges add up to the loss, in value and in gradient, whatever the ranges are. A loss
/// that is no sum over rows is the share of the range that holds row 0, and 0 in every other. A share that
/// depends on no vector has no graph.
struct Embeddings {
  at::Tensor queries;    ///< [N, D]
  at::Tensor documents;  ///< [M, D]
  int64_t begin = 0;     ///< rows [begin, end)
  int64_t end = -1;      ///< -1: to the last
  /// [N, G] and [M, G]: a guide's vectors of the same texts, for filters; without a gradient.
  at::Tensor guide_queries = {}, guide_documents = {};
  /// [N, D] and [M, D]: the same rows with unit length, where many ranges share them; losses that look at
  /// directions alone take these, and the gradient goes to them. Undefined: each call divides by the lengths.
  at::Tensor unit_queries = {}, unit_documents = {};
};

/// How many candidates the filters of a loss left out, for the log.
struct FilterCounts {
  int64_t by_score = 0;  ///< by the model's own scores
  int64_t by_guide = 0;  ///< by the guide's
};

/// A loss with its options. Adds to the counts where they are given.
using Loss = std::function<at::Tensor(const Embeddings&, const Relation&, FilterCounts*)>;

}  // namespace decovec
