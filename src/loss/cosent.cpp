#include "decovec/loss/cosent.hpp"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "loss/rows.hpp"

namespace decovec {

at::Tensor cosent(const Embeddings& embeddings, const Relation& relation, const CosentOptions& options) {
  return at_boundary("cosent", [&] {
    const Rows rows = checked_rows("cosent", embeddings, relation);
    if (!(options.scale > 0) || !std::isfinite(options.scale))
      reject("cosent: scale: expected a number above 0, got {}", options.scale);
    if (rows.begin > 0 || rows.end == 0) return no_share(rows);

    Rows all = rows;
    all.end = relation.queries();
    const OwnDocuments own = own_documents("cosent", all, relation, /*needs_scores=*/true);
    const at::Tensor similarity = own_similarity(options.similarity, all, own).masked_select(own.present);
    const auto [score, order] = own.score.masked_select(own.present).sort();
    const at::Tensor scaled = similarity.index_select(0, order) * options.scale;
    // For each pair the sum of exp(-similarity) over all pairs of higher score, from the end of the order.
    const at::Tensor above = at::logcumsumexp(scaled.neg().flip(0), 0).flip(0);
    const at::Tensor none = at::full({1}, -std::numeric_limits<double>::infinity(), above.options());
    const at::Tensor first_above = at::searchsorted(score, score, /*out_int32=*/false, /*right=*/true);
    const at::Tensor differences = scaled + at::cat({above, none}).index_select(0, first_above);
    return at::cat({at::zeros({1}, differences.options()), differences}).logsumexp(0);
  });
}

}  // namespace decovec
