#include "decovec/loss/matryoshka.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "loss/rows.hpp"

namespace decovec {

void validate(const MatryoshkaOptions& options) {
  const std::vector<int64_t>& dimensions = options.dimensions;
  if (dimensions.empty()) reject("matryoshka: dimensions: expected at least one, got none");
  for (size_t i = 0; i < dimensions.size(); ++i) {
    if (dimensions[i] < 1) reject("matryoshka: dimensions: expected 1 or more, got {}", dimensions[i]);
    if (std::count(dimensions.begin(), dimensions.end(), dimensions[i]) > 1)
      reject("matryoshka: dimensions: expected each once, got {} again", dimensions[i]);
  }
  if (!options.weights.empty() && options.weights.size() != dimensions.size())
    reject("matryoshka: weights: expected one for each of {} dimensions, got {}", dimensions.size(),
           options.weights.size());
  for (const double weight : options.weights)
    if (!(weight >= 0) || !std::isfinite(weight))
      reject("matryoshka: weights: expected 0 or more, got {}", weight);
  if (!options.weights.empty() &&
      std::all_of(options.weights.begin(), options.weights.end(), [](double weight) { return weight == 0; }))
    reject("matryoshka: weights: expected at least one above 0, got none; nothing would be learned");
  if (options.dimensions_per_batch < 0 ||
      options.dimensions_per_batch > static_cast<int64_t>(dimensions.size()))
    reject("matryoshka: dimensions_per_batch: expected 0 to {}, got {}", dimensions.size(),
           options.dimensions_per_batch);
}

namespace {

// Indices of the dimensions that take part, the widest first.
std::vector<int64_t> drawn(const MatryoshkaOptions& options, RandomKey key) {
  const auto count = static_cast<int64_t>(options.dimensions.size());
  std::vector<int64_t> chosen = random_permutation(key.with("matryoshka"), count);
  if (options.dimensions_per_batch > 0) chosen.resize(static_cast<size_t>(options.dimensions_per_batch));
  std::sort(chosen.begin(), chosen.end(), [&](int64_t a, int64_t b) {
    return options.dimensions[static_cast<size_t>(a)] > options.dimensions[static_cast<size_t>(b)];
  });
  return chosen;
}

}  // namespace

at::Tensor matryoshka(const Loss& loss, const Embeddings& embeddings, const Relation& relation,
                      const MatryoshkaOptions& options, FilterCounts* counts) {
  return at_boundary("matryoshka", [&] {
    const Rows rows = checked_rows("matryoshka", embeddings, relation);
    validate(options);
    const int64_t width = rows.queries.size(1);
    if (const auto widest = std::max_element(options.dimensions.begin(), options.dimensions.end());
        *widest > width)
      reject("matryoshka: dimensions: expected 1 to the embeddings' {}, got {}", width, *widest);
    at::Tensor sum;
    for (const int64_t i : drawn(options, relation.facts().key)) {
      const auto place = static_cast<size_t>(i);
      Embeddings cut = embeddings;
      cut.queries = cut.unit_queries = unit_rows(rows.queries.narrow(1, 0, options.dimensions[place]));
      cut.documents = cut.unit_documents = unit_rows(rows.documents.narrow(1, 0, options.dimensions[place]));
      const double weight = options.weights.empty() ? 1.0 : options.weights[place];
      const at::Tensor part = loss(cut, relation, sum.defined() ? nullptr : counts) * weight;
      sum = sum.defined() ? sum + part : part;
    }
    return sum;
  });
}

}  // namespace decovec
