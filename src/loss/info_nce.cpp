#include "decovec/loss/info_nce.hpp"

#include <cmath>
#include <limits>
#include <sstream>
#include <string>

#include <ATen/ATen.h>

#include "io/error.hpp"

namespace decovec {
namespace {

// A cosine in float32 is rounded to 6e-8, so what is left of it below this is noise.
constexpr double min_temperature = 1e-6;

std::string shown(const at::Tensor& tensor) {
  if (!tensor.defined()) return "an undefined tensor";
  std::ostringstream text;
  text << tensor.sizes() << " of " << tensor.scalar_type() << " on " << tensor.device();
  return text.str();
}

void check(const Embeddings& embeddings, const Relation& relation, const InfoNceOptions& options) {
  const auto& [queries, documents, begin] = embeddings;
  for (const at::Tensor& rows : {queries, documents}) {
    if (!rows.defined() || rows.dim() != 2 || !rows.is_floating_point()) {
      reject("info_nce: embeddings: expected floating-point rows [n, D], got {}", shown(rows));
    }
  }
  if (queries.size(1) != documents.size(1) || queries.device() != documents.device()) {
    reject("info_nce: embeddings: expected queries and documents of one width on one device, got {} and {}",
           shown(queries), shown(documents));
  }
  if (relation.queries() == 0) reject("info_nce: relation: expected at least one query, got none");
  if (documents.size(0) != relation.documents()) {
    reject("info_nce: documents: expected the relation's {} rows, got {}", relation.documents(),
           documents.size(0));
  }
  if (begin < 0 || begin > relation.queries() - queries.size(0)) {
    reject("info_nce: queries: expected rows within the relation's [0, {}), got {} rows from {}",
           relation.queries(), queries.size(0), begin);
  }
  if (!(options.temperature >= min_temperature) || !std::isfinite(options.temperature)) {
    reject("info_nce: temperature: expected {} or more, got {}", min_temperature, options.temperature);
  }
}

at::Tensor unit_rows(const at::Tensor& rows, at::ScalarType dtype) {
  const at::Tensor values = rows.to(dtype);
  return values / at::linalg_vector_norm(values, 2, at::IntArrayRef{1}, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace

at::Tensor info_nce(const Embeddings& embeddings, const Relation& relation, const InfoNceOptions& options) {
  return at_boundary("info_nce", [&] {
    check(embeddings, relation, options);
    const auto& [queries, documents, begin] = embeddings;
    const int64_t end = begin + queries.size(0);
    const at::Tensor labels = relation.labels(begin, end);
    const at::Tensor positive =
        at::tensor(at::ArrayRef<int64_t>(relation.positive)
                       .slice(static_cast<size_t>(begin), static_cast<size_t>(end - begin)),
                   at::kLong)
            .view({-1, 1});

    const at::ScalarType dtype =
        c10::promoteTypes(c10::promoteTypes(queries.scalar_type(), documents.scalar_type()), at::kFloat);
    const at::Tensor scaled_queries = unit_rows(queries, dtype) / options.temperature;
    at::Tensor logits = at::matmul(scaled_queries, unit_rows(documents, dtype).t());
    logits.masked_fill_(labels.to(logits.device()).eq(0), -std::numeric_limits<double>::infinity());
    const at::Tensor log_probability = at::log_softmax(logits, 1);
    const at::Tensor of_positive = log_probability.gather(1, positive.to(logits.device()));
    return -of_positive.sum() / relation.queries();
  });
}

}  // namespace decovec
