#include "eval/held_out.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <ATen/ATen.h>

#include "io/error.hpp"

namespace decovec {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// How often negatives of one kind came near.
struct NegativeSums {
  int64_t count = 0, above = 0;
  double margin = 0;

  void add(const at::Tensor& is_negative, const at::Tensor& margins) {
    const at::Tensor chosen = margins.masked_select(is_negative);
    count += chosen.numel();
    above += chosen.le(0).sum().item<int64_t>();
    margin += chosen.sum().item<double>();
  }
};

// Of each document's cosine with its own query and its score; nothing where a score is not known.
std::optional<double> own_spearman(const Relation& relation, const at::Tensor& unit_queries,
                                   const at::Tensor& unit_documents) {
  const std::vector<double>& scores = relation.facts().score;
  const auto unknown = [](double score) { return std::isnan(score); };
  if (scores.empty() || std::any_of(scores.begin(), scores.end(), unknown)) return std::nullopt;
  const at::Tensor owner = at::tensor(relation.facts().owner, at::kLong);
  const at::Tensor cosines =
      (unit_queries.index_select(0, owner) * unit_documents).sum(1).to(at::kDouble).contiguous();
  const double* data = cosines.const_data_ptr<double>();
  return spearman(std::vector<double>(data, data + cosines.numel()), scores);
}

}  // namespace

TaskReport measure(const std::string& name, const Relation& relation, const at::Tensor& queries,
                   const at::Tensor& documents) {
  constexpr int64_t kTileScores = int64_t{1} << 22;
  if (queries.size(0) != relation.queries() || documents.size(0) != relation.documents())
    reject("held-out set '{}': expected vectors of {} queries and {} documents, got {} and {}", name,
           relation.queries(), relation.documents(), queries.size(0), documents.size(0));
  const at::Tensor unit_queries = apply({Normalize{}}, queries.cpu()),
                   unit_documents = apply({Normalize{}}, documents.cpu());
  const int64_t rows = relation.queries();
  const int64_t tile = std::max<int64_t>(1, kTileScores / std::max<int64_t>(1, relation.documents()));
  NegativeSums hard, in_batch;
  int64_t right = 0;
  for (int64_t begin = 0; begin < rows; begin += tile) {
    const int64_t end = std::min(begin + tile, rows);
    const at::Tensor labels = relation.labels(begin, end);
    const at::Tensor cosines =
        at::mm(unit_queries.narrow(0, begin, end - begin), unit_documents.t()).to(at::kDouble);
    const at::Tensor positive =
        std::get<0>(cosines.masked_fill(labels.ne(kPositive), kInfinity).min(1, /*keepdim=*/true));
    if (positive.eq(kInfinity).any().item<bool>())
      reject("held-out set '{}': expected a positive for each query, got a query without", name);
    const at::Tensor margins = positive - cosines;
    right += margins.gt(0).logical_or_(labels.ge(0)).all(1).sum().item<int64_t>();
    hard.add(labels.le(kHardNegative), margins);
    in_batch.add(labels.eq(kInBatchNegative), margins);
  }
  const NegativeSums& negatives = hard.count > 0 ? hard : in_batch;
  const auto mean = [](double sum, int64_t count) { return sum / static_cast<double>(count); };
  TaskReport report = {name, "held_out", {}};
  if (const auto correlation = own_spearman(relation, unit_queries, unit_documents))
    report.metrics.emplace_back("spearman", *correlation);
  report.metrics.insert(report.metrics.end(),
                        {{"accuracy", mean(static_cast<double>(right), rows)},
                         {"negatives_above", mean(static_cast<double>(negatives.above), negatives.count)},
                         {"margin", mean(negatives.margin, negatives.count)}});
  return report;
}

}  // namespace decovec
