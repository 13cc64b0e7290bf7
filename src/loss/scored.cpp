#include "decovec/loss/scored.hpp"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "loss/rows.hpp"

namespace decovec {

at::Tensor cosine_mse(const Embeddings& embeddings, const Relation& relation) {
  return at_boundary("cosine_mse", [&] {
    const Rows rows = checked_rows("cosine_mse", embeddings, relation);
    if (rows.size() == 0) return no_share(rows);
    const OwnDocuments own = own_documents("cosine_mse", rows, relation, /*needs_scores=*/true);
    const at::Tensor difference = own_similarity(Similarity::cosine, rows, own) - own.score;
    return sum_of_row_means(difference.square(), own.present) / relation.queries();
  });
}

at::Tensor margin_mse(const Embeddings& embeddings, const Relation& relation,
                      const MarginMseOptions& options) {
  return at_boundary("margin_mse", [&] {
    const Rows rows = checked_rows("margin_mse", embeddings, relation);
    if (rows.size() == 0) return no_share(rows);
    const OwnDocuments own = own_documents("margin_mse", rows, relation, /*needs_scores=*/true);
    const at::Tensor error = own_similarity(options.similarity, rows, own) - own.score;
    const at::Tensor losses = (error.unsqueeze(2) - error.unsqueeze(1)).square();
    const at::Tensor margins = own.positive.unsqueeze(2).logical_and(own.negative.unsqueeze(1));
    return sum_of_row_means(losses, margins) / relation.queries();
  });
}

at::Tensor kl_divergence(const Embeddings& embeddings, const Relation& relation,
                         const KlDivergenceOptions& options) {
  return at_boundary("kl_divergence", [&] {
    const Rows rows = checked_rows("kl_divergence", embeddings, relation);
    const double teacher_temperature = options.teacher_temperature.value_or(options.temperature);
    for (const double temperature : {options.temperature, teacher_temperature})
      if (!(temperature > 0) || !std::isfinite(temperature))
        reject("kl_divergence: temperature: expected a number above 0, got {}", temperature);
    if (rows.size() == 0) return no_share(rows);
    const OwnDocuments own = own_documents("kl_divergence", rows, relation, /*needs_scores=*/true);
    const at::Tensor absent = own.present.logical_not();
    constexpr double none = -std::numeric_limits<double>::infinity();
    const at::Tensor teacher = (own.score / teacher_temperature).masked_fill(absent, none).softmax(1);
    const at::Tensor student =
        (own_similarity(options.similarity, rows, own) / options.temperature).masked_fill(absent, none);
    const at::Tensor log_student = student.log_softmax(1).masked_fill(absent, 0);
    const at::Tensor divergence = at::xlogy(teacher, teacher) - teacher * log_student;
    return divergence.sum() * options.temperature * options.temperature / relation.queries();
  });
}

}  // namespace decovec
