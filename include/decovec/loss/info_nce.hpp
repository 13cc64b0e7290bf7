#pragma once
#include <ATen/core/Tensor.h>

#include "decovec/loss/relation.hpp"

namespace decovec {

/// Rows of a global batch: queries [begin, begin + n) of it, against all of its documents.
struct Embeddings {
  at::Tensor queries;    ///< [n, D]
  at::Tensor documents;  ///< [M, D], all documents of the global batch
  int64_t begin = 0;     ///< the global index of the first query row
};

struct InfoNceOptions {
  /// Cosines are divided by it. Smaller looks harder at the hardest negatives; published models use 0.01 to
  /// 0.05. At least 1e-6, where float32's rounding of a cosine is all that is left.
  double temperature = 0.05;
};

/// These rows' share of InfoNCE's mean over the global batch: sum over the rows of -log softmax of the
/// positive's cosine / temperature among the row's candidates, divided by the number of queries in the global
/// batch.
///
/// A row's candidates are its positive and its negatives by `relation`. Rows need not have unit length;
/// cosine is taken here, in float32 at least. The shares of disjoint row ranges add up to the mean, whatever
/// the ranges are. Returns a scalar, with a graph where the embeddings have one. A zero row has cosine 0.
/// Throws std::invalid_argument for shapes that differ from the relation's, a temperature out of range, and
/// what `validate` refuses. Source: van den Oord et al. 2018, arXiv:1807.03748.
at::Tensor info_nce(const Embeddings& embeddings, const Relation& relation,
                    const InfoNceOptions& options = {});

}  // namespace decovec
