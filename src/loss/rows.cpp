#include "loss/rows.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <string>

#include <ATen/ATen.h>

#include "io/error.hpp"

namespace decovec {
namespace {

std::string shown(const at::Tensor& tensor) {
  if (!tensor.defined()) return "an undefined tensor";
  std::ostringstream text;
  text << tensor.sizes() << " of " << tensor.scalar_type() << " on " << tensor.device();
  return text.str();
}

void check_pair(std::string_view where, std::string_view what, const at::Tensor& queries,
                const at::Tensor& documents, const Relation& relation) {
  for (const at::Tensor& rows : {queries, documents})
    if (!rows.defined() || rows.dim() != 2 || !rows.is_floating_point())
      reject("{}: {}: expected floating-point rows [n, D], got {}", where, what, shown(rows));
  if (queries.size(1) != documents.size(1) || queries.device() != documents.device())
    reject("{}: {}: expected queries and documents of one width on one device, got {} and {}", where, what,
           shown(queries), shown(documents));
  if (queries.size(0) != relation.queries() || documents.size(0) != relation.documents())
    reject("{}: {}: expected the relation's {} queries and {} documents, got {} and {}", where, what,
           relation.queries(), relation.documents(), queries.size(0), documents.size(0));
}

}  // namespace

Rows checked_rows(std::string_view where, const Embeddings& embeddings, const Relation& relation) {
  if (relation.queries() == 0) reject("{}: relation: expected at least one query, got none", where);
  check_pair(where, "embeddings", embeddings.queries, embeddings.documents, relation);
  if (embeddings.guide_queries.defined() || embeddings.guide_documents.defined()) {
    check_pair(where, "guide", embeddings.guide_queries, embeddings.guide_documents, relation);
    if (embeddings.guide_queries.device() != embeddings.queries.device())
      reject("{}: guide: expected vectors on the embeddings' device, got {}", where,
             shown(embeddings.guide_queries));
  }
  const bool unit = embeddings.unit_queries.defined() || embeddings.unit_documents.defined();
  if (unit) check_pair(where, "unit rows", embeddings.unit_queries, embeddings.unit_documents, relation);
  const int64_t end = embeddings.end == -1 ? relation.queries() : embeddings.end;
  if (embeddings.begin < 0 || embeddings.begin > end || end > relation.queries())
    reject("{}: rows: expected a range within the relation's [0, {}), got [{}, {})", where,
           relation.queries(), embeddings.begin, end);
  const at::ScalarType dtype = c10::promoteTypes(
      c10::promoteTypes(embeddings.queries.scalar_type(), embeddings.documents.scalar_type()), at::kFloat);
  return {embeddings.queries.to(dtype),
          embeddings.documents.to(dtype),
          unit ? embeddings.unit_queries.to(dtype) : at::Tensor(),
          unit ? embeddings.unit_documents.to(dtype) : at::Tensor(),
          embeddings.begin,
          end};
}

at::Tensor unit_rows(const at::Tensor& rows) {
  return rows / at::linalg_vector_norm(rows, 2, at::IntArrayRef{-1}, /*keepdim=*/true).clamp_min(1e-12);
}

OwnDocuments own_documents(std::string_view where, const Rows& rows, const Relation& relation,
                           bool needs_scores) {
  const RelationFacts& facts = relation.facts();
  size_t most = 1;
  for (int64_t q = rows.begin; q < rows.end; ++q) most = std::max(most, relation.documents_of(q).size());
  const std::vector<int64_t> shape = {rows.size(), static_cast<int64_t>(most)};
  at::Tensor index = at::zeros(shape, at::kLong), positive = at::zeros(shape, at::kBool);
  at::Tensor negative = at::zeros(shape, at::kBool), present = at::zeros(shape, at::kBool);
  at::Tensor score = at::zeros(shape, at::kDouble);
  for (int64_t q = rows.begin; q < rows.end; ++q) {
    auto place = static_cast<size_t>(q - rows.begin) * most;
    for (const int64_t document : relation.documents_of(q)) {
      const auto d = static_cast<size_t>(document);
      index.data_ptr<int64_t>()[place] = document;
      present.data_ptr<bool>()[place] = true;
      positive.data_ptr<bool>()[place] = facts.role[d] == Role::positive;
      negative.data_ptr<bool>()[place] = facts.role[d] == Role::negative || facts.role[d] == Role::curated;
      if (needs_scores) {
        if (facts.score.empty() || std::isnan(facts.score[d]))
          reject(
              "{}: relation: expected a score for each document, got none for document {} of query {}; give "
              "the "
              "data scores or take a loss that needs none",
              where, document, q);
        score.data_ptr<double>()[place] = facts.score[d];
      }
      ++place;
    }
  }
  const at::Device device = rows.queries.device();
  return {index.to(device), positive.to(device), negative.to(device), present.to(device),
          score.to(device, rows.queries.scalar_type())};
}

at::Tensor pair_similarity(Similarity kind, const at::Tensor& a, const at::Tensor& b) {
  switch (kind) {
    case Similarity::dot:
      return (a * b).sum(-1);
    case Similarity::cosine:
      return (unit_rows(a) * unit_rows(b)).sum(-1);
    case Similarity::euclidean:
      return -at::linalg_vector_norm(a - b, 2, at::IntArrayRef{-1});
    case Similarity::manhattan:
      return -at::linalg_vector_norm(a - b, 1, at::IntArrayRef{-1});
    case Similarity::angle: {
      at::Tensor x = unit_rows(a), y = unit_rows(b);
      const at::Tensor cosine = (x * y).sum(-1);
      if (x.size(-1) % 2 != 0) {
        x = at::constant_pad_nd(x, {0, 1});
        y = at::constant_pad_nd(y, {0, 1});
      }
      const int64_t half = x.size(-1) / 2;
      const at::Tensor sine = (x.narrow(-1, half, half) * y.narrow(-1, 0, half) -
                               x.narrow(-1, 0, half) * y.narrow(-1, half, half))
                                  .sum(-1);
      return (cosine + sine).abs();
    }
  }
  reject("similarity: expected one of Similarity, got {}", static_cast<int>(kind));
}

at::Tensor own_similarity(Similarity kind, const Rows& rows, const OwnDocuments& own) {
  const at::Tensor documents = rows.documents.index_select(0, own.index.view(-1))
                                   .view({own.index.size(0), own.index.size(1), rows.documents.size(1)});
  return pair_similarity(kind, rows.own_queries().unsqueeze(1), documents);
}

at::Tensor sum_of_row_means(const at::Tensor& values, const at::Tensor& counted) {
  const at::Tensor kept = at::where(counted, values, at::zeros({}, values.options())).flatten(1).sum(1);
  return (kept / counted.flatten(1).sum(1).clamp_min(1)).sum();
}

at::Tensor no_share(const Rows& rows) { return at::zeros({}, rows.queries.options().requires_grad(false)); }

}  // namespace decovec
