#pragma once
#include <ATen/core/Tensor.h>

#include "decovec/loss/embeddings.hpp"
#include "decovec/loss/relation.hpp"
#include "decovec/loss/similarity.hpp"

namespace decovec {

struct CosentOptions {
  double scale = 20;  ///< similarities are multiplied by it
  /// cosine: CoSENT. angle: AnglE's term for angles.
  Similarity similarity = Similarity::cosine;
};

/// log(1 + sum over all pairs a, b of the batch with score(a) < score(b) of exp(scale * (similarity of a -
/// similarity of b))), where a pair is a document with the query it was drawn for.
///
/// No sum over rows: whole for the range that holds row 0, 0 for every other. All pairs compare with all, so
/// scores of the batch have one unit. Throws std::invalid_argument for documents without a score, a scale
/// that is not positive, and shapes that do not fit. Sources: Su 2022, kexue.fm/archives/8847; Li and Li
/// 2024, arXiv:2309.12871.
at::Tensor cosent(const Embeddings& embeddings, const Relation& relation, const CosentOptions& options = {});

}  // namespace decovec
