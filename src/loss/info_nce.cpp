#include "decovec/loss/info_nce.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "loss/rows.hpp"

namespace decovec {
namespace {

// A cosine in float32 is rounded to 6e-8, so what is left of it below this is noise.
constexpr double min_temperature = 1e-6;

bool from_query(Direction direction) {
  return direction == Direction::query_to_document || direction == Direction::query_to_positive ||
         direction == Direction::query_to_query;
}
bool to_query(Direction direction) {
  return direction == Direction::query_to_query || direction == Direction::document_to_query;
}
bool starts(Direction direction) {
  return direction == Direction::query_to_document || direction == Direction::query_to_positive;
}
bool holds_the_match(Direction direction) {
  return starts(direction) || direction == Direction::document_to_query;
}

}  // namespace

void validate(const InfoNceOptions& options) {
  if (!(options.temperature >= min_temperature) || !std::isfinite(options.temperature))
    reject("info_nce: temperature: expected {} or more, got {}", min_temperature, options.temperature);
  const std::vector<Direction>& directions = options.directions;
  if (directions.empty() || !starts(directions[0]))
    reject("info_nce: directions: expected query_to_document or query_to_positive first, got {}",
           directions.empty() ? "none" : "another");
  for (size_t i = 0; i < directions.size(); ++i) {
    const bool known =
        directions[i] >= Direction::query_to_document && directions[i] <= Direction::document_to_positive;
    const auto before = directions.begin() + static_cast<std::ptrdiff_t>(i);
    if (!known || std::find(directions.begin(), before, directions[i]) != before ||
        (i > 0 && starts(directions[i])))
      reject(
          "info_nce: directions: expected each at most once and one from queries to documents, got "
          "direction {} again or too many",
          static_cast<int>(directions[i]));
    if (!options.joint && !holds_the_match(directions[i]))
      reject(
          "info_nce: directions: a softmax for each direction needs the right match in each; "
          "expected query_to_document or query_to_positive and document_to_query, or joint");
  }
  for (const double hardness : {options.in_batch_hardness, options.hard_negative_hardness})
    if (!(hardness >= 0) || !std::isfinite(hardness))
      reject("info_nce: hardness: expected 0 or more, got {}", hardness);
  for (const std::optional<ScoreFilter>& filter : {options.filter, options.guide_filter})
    if (filter && !std::isfinite(filter->margin))
      reject("info_nce: margin of a filter: expected a finite number, got {}", filter->margin);
}

namespace {

void check(const Embeddings& embeddings, const InfoNceOptions& options) {
  validate(options);
  if (options.guide_filter && !embeddings.guide_queries.defined())
    reject("info_nce: guide_filter: expected a guide's vectors with the embeddings, got none");
}

// The rows' queries, each once for each of its positives.
struct Pairs {
  at::Tensor row;       // int64 [P]: counted from the first row of the range
  at::Tensor positive;  // int64 [P]: a document
  at::Tensor weight;    // [P]: 1 / the row's positives
};

Pairs pairs_of(const Relation& relation, const Rows& rows) {
  std::vector<int64_t> row, positive;
  std::vector<double> weight;
  for (int64_t q = rows.begin; q < rows.end; ++q) {
    for (const int64_t document : relation.documents_of(q)) {
      if (relation.facts().role[static_cast<size_t>(document)] != Role::positive) continue;
      row.push_back(q - rows.begin);
      positive.push_back(document);
    }
    const auto first = std::lower_bound(row.begin(), row.end(), q - rows.begin);
    if (first == row.end())
      reject("info_nce: relation: expected at least one positive for each query, got none for query {}", q);
    weight.resize(row.size(), 1.0 / static_cast<double>(row.end() - first));
  }
  const at::Device device = rows.queries.device();
  return {at::tensor(row, at::kLong).to(device), at::tensor(positive, at::kLong).to(device),
          at::tensor(weight, at::kDouble).to(device, rows.queries.scalar_type())};
}

// Both sides of every direction: unit rows of the pairs, and of all that they meet.
struct Sides {
  at::Tensor pair_queries, pair_positives, queries, documents;

  // Of the model's rows, or of a guide's.
  Sides(const Rows& rows, const Pairs& pairs, const std::vector<Direction>& directions) {
    const bool given = rows.unit_documents.defined();
    const bool all_queries = std::any_of(directions.begin(), directions.end(), to_query);
    documents = given ? rows.unit_documents : unit_rows(rows.documents);
    if (given || all_queries) queries = given ? rows.unit_queries : unit_rows(rows.queries);
    const at::Tensor own =
        queries.defined() ? queries.narrow(0, rows.begin, rows.size()) : unit_rows(rows.own_queries());
    pair_queries = own.index_select(0, pairs.row);
    pair_positives = documents.index_select(0, pairs.positive);
  }

  at::Tensor cosines(Direction direction) const {
    return at::matmul(from_query(direction) ? pair_queries : pair_positives,
                      (to_query(direction) ? queries : documents).t());
  }
};

// A filter with what it looks at: the model's vectors or the guide's.
struct AppliedFilter {
  const ScoreFilter& options;
  const Sides* guide;  // none: the model's
  int64_t* count;
  at::Tensor threshold = {};  // [P, 1]: above it a negative is left out

  // From the cosines of the first direction, which holds the positives'.
  void set_threshold(const at::Tensor& cosines, const Pairs& pairs, int64_t rows) {
    const at::Tensor own = cosines.gather(1, pairs.positive.unsqueeze(1)).squeeze(1);
    const at::Tensor least = at::zeros({rows}, own.options())
                                 .scatter_reduce(0, pairs.row, own, "amin", /*include_self=*/false)
                                 .index_select(0, pairs.row)
                                 .unsqueeze(1);
    threshold = options.relative ? least - least.abs() * options.margin : least - options.margin;
  }

  // bool [P, candidates]: those to leave out.
  at::Tensor hits(const at::Tensor& cosines, const at::Tensor& labels) const {
    const at::Tensor found =
        cosines.gt(threshold).logical_and_(labels.lt(0)).logical_and_(labels.ne(kCuratedNegative));
    if (count) *count += found.sum().item<int64_t>();
    return found;
  }
};

// The rows of a range against all that they meet.
struct Candidates {
  const Relation& relation;
  const Rows& rows;
  const InfoNceOptions& options;
  Pairs pairs;
  Sides sides;
  std::vector<AppliedFilter> filters;

  // The column of each pair's right match.
  at::Tensor match(Direction direction) const {
    return (to_query(direction) ? pairs.row + rows.begin : pairs.positive).unsqueeze(1);
  }

  // [P, candidates]: -infinity for those that are none.
  at::Tensor logits(Direction direction) {
    const at::Tensor labels =
        relation.labels(rows.begin, rows.end, direction).to(rows.queries.device()).index_select(0, pairs.row);
    at::Tensor scores = sides.cosines(direction);
    at::Tensor kept = labels.lt(0);
    for (AppliedFilter& filter : filters) {
      const at::Tensor cosines = filter.guide ? filter.guide->cosines(direction) : scores.detach();
      if (!filter.threshold.defined()) filter.set_threshold(cosines, pairs, rows.size());
      kept.masked_fill_(filter.hits(cosines, labels), false);
    }
    if (holds_the_match(direction)) kept.scatter_(1, match(direction), true);
    at::Tensor hardness;
    if (starts(direction) && (options.in_batch_hardness > 0 || options.hard_negative_hardness > 0))
      hardness = scores.detach() *
                 (labels.eq(kInBatchNegative).to(scores.scalar_type()) * options.in_batch_hardness +
                  labels.lt(kInBatchNegative).to(scores.scalar_type()) * options.hard_negative_hardness);
    scores.div_(options.temperature);
    if (hardness.defined()) scores = scores + hardness;
    return scores.masked_fill_(kept.logical_not_(), -std::numeric_limits<double>::infinity());
  }
};

}  // namespace

at::Tensor info_nce(const Embeddings& embeddings, const Relation& relation, const InfoNceOptions& options,
                    FilterCounts* counts) {
  return at_boundary("info_nce", [&] {
    check(embeddings, options);
    const Rows rows = checked_rows("info_nce", embeddings, relation);
    if (rows.size() == 0) return no_share(rows);
    const std::vector<Direction>& directions = options.directions;
    const Pairs pairs = pairs_of(relation, rows);
    Candidates candidates = {relation, rows, options, pairs, Sides(rows, pairs, directions), {}};
    if (options.filter)
      candidates.filters.push_back({*options.filter, nullptr, counts ? &counts->by_score : nullptr});
    std::optional<Sides> guide;
    if (options.guide_filter) {
      const Embeddings of_guide = {embeddings.guide_queries.detach(), embeddings.guide_documents.detach(),
                                   rows.begin, rows.end};
      guide.emplace(checked_rows("info_nce", of_guide, relation), pairs, directions);
      candidates.filters.push_back({*options.guide_filter, &*guide, counts ? &counts->by_guide : nullptr});
    }

    std::vector<at::Tensor> logits;
    for (const Direction direction : directions) logits.push_back(candidates.logits(direction));
    if (options.joint && logits.size() > 1) logits = {at::cat(logits, 1)};
    at::Tensor sum;
    for (size_t i = 0; i < logits.size(); ++i) {
      const at::Tensor of_match =
          at::log_softmax(logits[i], 1).gather(1, candidates.match(directions[i])).squeeze(1);
      sum = sum.defined() ? sum + of_match : of_match;
    }
    const auto count = static_cast<double>(logits.size());
    return -(sum * pairs.weight).sum() / count / relation.queries();
  });
}

}  // namespace decovec
