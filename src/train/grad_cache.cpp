#include "train/grad_cache.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "io/error.hpp"
#include "loss/rows.hpp"
#include "train/shards.hpp"
#include "world/device.hpp"
#include "world/ranks.hpp"

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
                           const LossFunction& loss, int64_t tile) {
  at::AutoGradMode with_graph(true);
  LossGradient result;
  const SharedRows queries(all_queries), documents(all_documents);
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

/// False where `body` throws for want of memory. at_boundary, which stands around the model too, turns
/// LibTorch's exceptions into words.
template <class Body>
bool fits(Body&& body) {
  try {
    at_boundary("train", body);
  } catch (const std::runtime_error& error) {
    if (std::string_view(error.what()).find("out of memory") == std::string_view::npos) throw;
    return false;
  }
  return true;
}

/// Runs `body` until memory holds it, with less at once each time; `lessen` says whether there is less,
/// and `least` what is least. Ranks try by themselves, and go on or fail together.
template <class Body, class Lessen>
void within_memory(World& world, at::Device device, const std::string& least, Body&& body, Lessen&& lessen) {
  on_all_ranks(world, [&] {
    while (!fits(body)) {
      if (!lessen()) throw OutOfMemory("out of memory with " + least);
      release_cached_memory(device);
    }
  });
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

void GradientSum::clear() {
  sums_.clear();
  for (at::Tensor& holder : holders_) holder.mutable_grad() = at::Tensor();
}

std::vector<at::Tensor> GradientSum::finish(World& world) {
  at::NoGradGuard no_grad;
  sums_.resize(holders_.size());
  for (size_t i = 0; i < holders_.size(); ++i)
    if (!sums_[i].defined())
      sums_[i] = at::zeros_like(holders_[i], holders_[i].options().requires_grad(false));
  return reduce_to_owners(std::exchange(sums_, {}), world);
}

CachedLoss accumulate_gradient(const StepBatch& batch, const EmbedFunction& embed, const LossFunction& loss,
                               GradientSum& sum, at::Device device, World& world,
                               const GradCacheOptions& options) {
  const auto count = static_cast<int64_t>(batch.sequences.size());
  const auto places = [&](const PackedBatch& packed) {
    return at::tensor(packed.rows, at::kLong).to(device);
  };
  CachedLoss result{.micro_batch_tokens = options.micro_batch_tokens};
  std::vector<PackedBatch> micro_batches;
  const auto cut = [&] { micro_batches = pack(batch.sequences, result.micro_batch_tokens, device); };
  int64_t longest = 1;
  for (const TokenSequence& text : batch.sequences) longest = std::max(longest, std::ssize(text.ids));
  const std::string one_text = fmt::format("a text of {} tokens alone", longest);
  const auto fewer_tokens = [&] {
    const int64_t before = std::min(result.micro_batch_tokens, batch.tokens);
    result.micro_batch_tokens = std::max(longest, before / 2);
    return result.micro_batch_tokens < before;
  };

  at::Tensor embeddings, last;  // `last` keeps its graph
  const auto embed_all = [&] {
    cut();
    last = at::Tensor();
    for (size_t b = 0; b < micro_batches.size(); ++b) {
      at::AutoGradMode graph(b + 1 == micro_batches.size());
      const at::Tensor part = embed(micro_batches[b]);
      if (b + 1 == micro_batches.size()) last = part;
      const at::Tensor values = part.detach().to(wide(part));
      if (!embeddings.defined()) embeddings = at::empty({count, values.size(1)}, values.options());
      embeddings.index_copy_(0, places(micro_batches[b]), values);
    }
  };
  within_memory(world, device, one_text, embed_all, fewer_tokens);

  const int64_t first_document = batch.relation.documents_of(batch.own.begin).front();
  const at::Tensor own_queries = embeddings.narrow(0, 0, batch.own.size());
  const at::Tensor own_documents = embeddings.narrow(0, batch.own.size(), count - batch.own.size());
  result.embeddings = embeddings;
  result.queries = world.gather(own_queries);
  result.documents = world.gather(own_documents);

  // A tile has at least so many rows that its scores need about as much memory as the vectors do.
  const int64_t texts = result.queries.size(0) + result.documents.size(0);
  int64_t tile = std::max({int64_t{1}, options.tile_scores / texts, embeddings.size(1) / 4});
  tile = std::min(tile, batch.own.size());
  LossGradient gradient;
  within_memory(
      world, device, fmt::format("the scores of one query with {} texts", texts),
      [&] { gradient = loss_gradient(result.queries, result.documents, batch.own, loss, tile); },
      [&] { return std::exchange(tile, tile / 2) > 1; });
  world.reduce(gradient.queries);
  world.reduce(gradient.documents);
  at::Tensor total = at::full({1}, gradient.loss, embeddings.options().dtype(at::kDouble));
  world.reduce(total);
  result.loss = total.item<double>();
  result.filtered = gradient.filtered;
  result.gradients = at::cat({gradient.queries.narrow(0, batch.own.begin, batch.own.size()),
                              gradient.documents.narrow(0, first_document, own_documents.size(0))});
  gradient = {};
  if (!std::isfinite(result.loss)) return result;

  const auto send_back = [&] {
    at::AutoGradMode with_graph(true);
    for (size_t b = micro_batches.size(); b-- > 0;) {
      const at::Tensor part = std::exchange(last, {});
      const at::Tensor with_path = part.defined() ? part : embed(micro_batches[b]);
      with_path.to(wide(with_path)).backward(result.gradients.index_select(0, places(micro_batches[b])));
      sum.take();
    }
  };
  within_memory(world, device, one_text, send_back, [&] {
    sum.clear();
    last = at::Tensor();
    if (!fewer_tokens()) return false;
    cut();
    return true;
  });
  return result;
}

}  // namespace decovec
