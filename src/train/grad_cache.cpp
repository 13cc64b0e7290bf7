#include "train/grad_cache.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "loss/rows.hpp"

namespace decovec {
namespace {

at::ScalarType wide(const at::Tensor& tensor) {
  return tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// Some rows' share of the loss, and its gradient with respect to all queries and documents.
struct LossGradient {
  double loss = 0;
  FilterCounts filtered;
  at::Tensor queries, documents;
};

/// Vectors that many tiles share: each tile leaves its gradient in the leaves, and lengths are taken once.
struct SharedRows {
  at::Tensor rows, unit, unit_leaf;

  explicit SharedRows(const at::Tensor& values)
      : rows(values.detach().requires_grad_(true)),
        unit(unit_rows(rows)),
        unit_leaf(unit.detach().requires_grad_(true)) {}

  at::Tensor gradient() const {
    if (unit_leaf.grad().defined()) unit.backward(unit_leaf.grad());
    return rows.grad().defined() ? rows.grad() : at::zeros_like(rows, rows.options().requires_grad(false));
  }
};

/// Tile after tile of rows.
LossGradient loss_gradient(const at::Tensor& all_queries, const at::Tensor& all_documents, RowRange rows,
                           const LossFunction& loss, int64_t tile_scores) {
  at::AutoGradMode with_graph(true);
  LossGradient result;
  const SharedRows queries(all_queries), documents(all_documents);
  // A tile has at least so many rows that its scores need about as much memory as the vectors do.
  const int64_t texts = all_queries.size(0) + all_documents.size(0);
  const int64_t tile = std::max({int64_t{1}, tile_scores / texts, all_queries.size(1) / 4});
  for (int64_t begin = rows.begin; begin < rows.end; begin += tile) {
    const Embeddings embeddings = {.queries = queries.rows,
                                   .documents = documents.rows,
                                   .begin = begin,
                                   .end = std::min(begin + tile, rows.end),
                                   .unit_queries = queries.unit_leaf,
                                   .unit_documents = documents.unit_leaf};
    const at::Tensor share = loss(embeddings, &result.filtered);
    if (share.requires_grad()) share.backward();
    result.loss += share.item<double>();
  }
  result.queries = queries.gradient();
  result.documents = documents.gradient();
  return result;
}

}  // namespace

void GradientSum::take() {
  at::NoGradGuard no_grad;
  sums_.resize(holders_.size());
  for (size_t i = 0; i < holders_.size(); ++i) {
    at::Tensor gradient = std::exchange(holders_[i].mutable_grad(), {});
    if (!gradient.defined()) continue;
    if (!sums_[i].defined()) {
      sums_[i] = gradient.contiguous();
    } else {  // a second pass: from here on the sum is kept wide
      if (sums_[i].scalar_type() != wide(gradient)) sums_[i] = sums_[i].to(wide(gradient));
      sums_[i].add_(gradient);
    }
  }
}

std::vector<at::Tensor> GradientSum::finish(World& world) {
  at::NoGradGuard no_grad;
  sums_.resize(holders_.size());
  for (size_t i = 0; i < holders_.size(); ++i) {
    if (!sums_[i].defined())
      sums_[i] = at::zeros_like(holders_[i], holders_[i].options().requires_grad(false));
    if (world.size() == 1) continue;
    sums_[i] = sums_[i].to(wide(sums_[i]));
    world.reduce(sums_[i]);
  }
  return std::exchange(sums_, {});
}

CachedLoss accumulate_gradient(const StepBatch& batch, const EmbedFunction& embed, const LossFunction& loss,
                               GradientSum& sum, at::Device device, World& world,
                               const GradCacheOptions& options) {
  const std::vector<PackedBatch> micro_batches = pack(batch.sequences, options.micro_batch_tokens, device);
  const auto count = static_cast<int64_t>(batch.sequences.size());
  const auto places = [&](const PackedBatch& packed) {
    return at::tensor(packed.rows, at::kLong).to(device);
  };

  at::Tensor embeddings, last;  // `last` keeps its graph
  for (size_t b = 0; b < micro_batches.size(); ++b) {
    at::AutoGradMode graph(b + 1 == micro_batches.size());
    const at::Tensor part = embed(micro_batches[b].batch);
    if (b + 1 == micro_batches.size()) last = part;
    const at::Tensor values = part.detach().to(wide(part));
    if (!embeddings.defined()) embeddings = at::empty({count, values.size(1)}, values.options());
    embeddings.index_copy_(0, places(micro_batches[b]), values);
  }

  const int64_t first_document = batch.relation.documents_of(batch.own.begin).front();
  const at::Tensor own_queries = embeddings.narrow(0, 0, batch.own.size());
  const at::Tensor own_documents = embeddings.narrow(0, batch.own.size(), count - batch.own.size());
  CachedLoss result{.embeddings = embeddings,
                    .queries = world.gather(own_queries),
                    .documents = world.gather(own_documents)};
  LossGradient gradient =
      loss_gradient(result.queries, result.documents, batch.own, loss, options.tile_scores);
  world.reduce(gradient.queries);
  world.reduce(gradient.documents);
  at::Tensor total = at::full({1}, gradient.loss, embeddings.options().dtype(at::kDouble));
  world.reduce(total);
  result.loss = total.item<double>();
  result.filtered = gradient.filtered;
  result.gradients = at::cat({gradient.queries.narrow(0, batch.own.begin, batch.own.size()),
                              gradient.documents.narrow(0, first_document, own_documents.size(0))});
  if (!std::isfinite(result.loss)) return result;

  at::AutoGradMode with_graph(true);
  for (size_t b = micro_batches.size(); b-- > 0;) {
    const at::Tensor part = std::exchange(last, {});
    const at::Tensor with_path = part.defined() ? part : embed(micro_batches[b].batch);
    with_path.to(wide(with_path)).backward(result.gradients.index_select(0, places(micro_batches[b])));
    sum.take();
  }
  return result;
}

}  // namespace decovec
