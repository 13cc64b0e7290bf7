#include "train/fault.hpp"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "io/json.hpp"
#include "world/ranks.hpp"

namespace decovec {
namespace {

/// [rows] bool: a value of the row is not finite.
at::Tensor broken_rows(const at::Tensor& values) { return values.isfinite().all(1).logical_not().cpu(); }

/// Batch rows of the sequences that `broken` marks, ascending.
std::vector<int64_t> rows_of(const at::Tensor& broken, const StepBatch& batch) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < broken.size(0); ++i)
    if (broken[i].item<bool>()) rows.push_back(batch.row_of[static_cast<size_t>(i)]);
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  return rows;
}

std::vector<int64_t> rows_with_broken_loss(const CachedLoss& result, const StepBatch& batch,
                                           const LossFunction& loss) {
  at::NoGradGuard no_grad;
  std::vector<int64_t> rows;
  for (int64_t row = batch.own.begin; row < batch.own.end; ++row) {
    const at::Tensor share = loss({result.queries, result.documents, row, row + 1}, nullptr);
    if (!std::isfinite(share.item<double>())) rows.push_back(row);
  }
  return rows;
}

}  // namespace

std::string examples_at_fault(const CachedLoss& result, const StepBatch& batch, const LossFunction& loss,
                              const std::vector<TrainingSet>& sets, World& world) {
  // What one rank's texts break shows in the losses and gradients of all, so first things first.
  std::vector<int64_t> faulty = rows_of(broken_rows(result.embeddings), batch);
  const auto on_any_rank = [&] { return sum_over_ranks(world, std::ssize(faulty)) > 0; };
  bool found = on_any_rank();
  if (!found) {
    faulty = rows_with_broken_loss(result, batch, loss);
    found = on_any_rank();
  }
  if (!found) {
    faulty = rows_of(broken_rows(result.gradients), batch);
    found = on_any_rank();
  }
  if (!found && world.rank() == 0) return "no single example stands out; try a lower learning rate or clip";
  if (faulty.empty()) return "";

  const size_t shown_rows = 3;
  std::string text =
      static_cast<int64_t>(faulty.size()) == batch.own.size()
          ? fmt::format("all {} examples of the step (are the weights still finite?):", faulty.size())
          : fmt::format("{} of {} examples:", faulty.size(), batch.own.size());
  for (size_t i = 0; i < std::min(faulty.size(), shown_rows); ++i) {
    const BatchRow& row = batch.rows[static_cast<size_t>(faulty[i])];
    const RowSource& source = *sets[static_cast<size_t>(row.dataset)].source;
    const DrawnRow drawn = source.draw(row.example, row.key);
    text += fmt::format("{} '{}' example {}, query {}", i == 0 ? "" : ";", source.name, drawn.example + 1,
                        shown(Json(drawn.query)));
  }
  return faulty.size() > shown_rows ? text + "; ..." : text;
}

std::string broken_weight(const Weights& weights, const OptimizerState& optimizer) {
  at::NoGradGuard no_grad;
  const auto broken = [](const at::Tensor& values) {
    if (values.numel() == 0) return false;
    const auto [least, largest] = at::aminmax(values);  // a NaN makes both one; no copy of the tensor
    return !std::isfinite(least.item<double>()) || !std::isfinite(largest.item<double>());
  };
  const std::vector<at::Tensor> own = weights.own_slices();
  for (size_t p = 0; p < weights.parameters.size(); ++p)
    if (broken(weights.own_part(p, own))) return weights.parameters[p].name;
  for (const NamedState& state : named_state(weights, optimizer))
    if (broken(state.own_part)) return state.name;
  return "";
}

std::string broken_gradient(const Weights& weights, const std::vector<at::Tensor>& gradients, World& world) {
  size_t first = 0;
  while (first < weights.parameters.size() &&
         weights.own_part(first, gradients).isfinite().all().item<bool>())
    ++first;
  const std::vector<int64_t> of_ranks = of_each_rank(world, static_cast<int64_t>(first));
  first = static_cast<size_t>(std::ranges::min(of_ranks));
  return first < weights.parameters.size() ? fmt::format("gradient of '{}'", weights.parameters[first].name)
                                           : "norm of the gradient";
}

}  // namespace decovec
