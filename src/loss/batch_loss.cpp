#include "decovec/loss/batch_loss.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "loss/rows.hpp"

namespace decovec {
namespace {

at::Tensor rows_at(const at::Tensor& rows, const std::vector<int64_t>& places) {
  return rows.defined() ? rows.index_select(0, at::tensor(places, at::kLong).to(rows.device())) : rows;
}

Embeddings embeddings_of(const Relation::Part& part, const Embeddings& whole, const Rows& rows) {
  const auto place = [&](int64_t row) {
    return std::lower_bound(part.queries.begin(), part.queries.end(), row) - part.queries.begin();
  };
  return {rows_at(whole.queries, part.queries),
          rows_at(whole.documents, part.documents),
          place(rows.begin),
          place(rows.end),
          rows_at(whole.guide_queries, part.queries),
          rows_at(whole.guide_documents, part.documents),
          rows_at(whole.unit_queries, part.queries),
          rows_at(whole.unit_documents, part.documents)};
}

}  // namespace

BatchLoss::BatchLoss(std::vector<LossTerm> terms, const Relation& relation)
    : terms_(std::move(terms)), relation_(relation) {
  if (terms_.empty()) reject("BatchLoss: expected at least one term, got none");
  for (const LossTerm& term : terms_) {
    if (!(term.weight > 0) || !std::isfinite(term.weight))
      reject("BatchLoss: weight: expected a number above 0, got {}", term.weight);
    parts_.push_back(term.sets.empty() ? Relation::Part{} : relation.part(term.sets));
  }
}

at::Tensor BatchLoss::operator()(const Embeddings& embeddings, FilterCounts* counts) const {
  return at_boundary("BatchLoss", [&] {
    const Rows rows = checked_rows("BatchLoss", embeddings, relation_);
    at::Tensor sum = no_share(rows);
    for (size_t i = 0; i < terms_.size(); ++i) {
      const Relation::Part& part = parts_[i];
      if (terms_[i].sets.empty() || part.relation.queries() == relation_.queries()) {
        sum = sum + terms_[i].loss(embeddings, relation_, counts) * terms_[i].weight;
      } else if (part.relation.queries() > 0) {
        const double fraction = static_cast<double>(part.relation.queries()) / relation_.queries();
        sum = sum + terms_[i].loss(embeddings_of(part, embeddings, rows), part.relation, counts) *
                        (terms_[i].weight * fraction);
      }
    }
    return sum;
  });
}

}  // namespace decovec
