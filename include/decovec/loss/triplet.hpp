#pragma once
#include <ATen/core/Tensor.h>

#include "decovec/loss/embeddings.hpp"
#include "decovec/loss/relation.hpp"
#include "decovec/loss/similarity.hpp"

namespace decovec {

struct TripletOptions {
  double margin = 5;  ///< in the unit of the distance
  /// The distance: minus this for euclidean and manhattan, 1 minus it for cosine.
  Similarity similarity = Similarity::euclidean;
};

/// These rows' share of the mean over queries of max(0, distance to the positive - distance to the negative +
/// margin), averaged over a query's pairs of a positive and a hard negative of its own; a query without hard
/// negatives adds 0.
///
/// Throws std::invalid_argument for a similarity that is no distance, a margin below 0, and shapes that do
/// not fit. Source: Schroff et al. 2015, arXiv:1503.03832.
at::Tensor triplet(const Embeddings& embeddings, const Relation& relation,
                   const TripletOptions& options = {});

}  // namespace decovec
