#include "decovec/loss/triplet.hpp"

#include <cmath>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "loss/rows.hpp"

namespace decovec {

at::Tensor triplet(const Embeddings& embeddings, const Relation& relation, const TripletOptions& options) {
  return at_boundary("triplet", [&] {
    const Rows rows = checked_rows("triplet", embeddings, relation);
    if (!(options.margin >= 0) || !std::isfinite(options.margin))
      reject("triplet: margin: expected 0 or more, got {}", options.margin);
    if (options.similarity == Similarity::dot || options.similarity == Similarity::angle)
      reject("triplet: similarity: expected cosine, euclidean or manhattan, got one that is no distance");
    if (rows.size() == 0) return no_share(rows);
    const OwnDocuments own = own_documents("triplet", rows, relation, /*needs_scores=*/false);
    const at::Tensor near = own_similarity(options.similarity, rows, own);
    const at::Tensor losses = (near.unsqueeze(1) - near.unsqueeze(2) + options.margin).relu();
    const at::Tensor triplets = own.positive.unsqueeze(2).logical_and(own.negative.unsqueeze(1));
    return sum_of_row_means(losses, triplets) / relation.queries();
  });
}

}  // namespace decovec
