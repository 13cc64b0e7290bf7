#include "train/weights.hpp"

#include <unordered_map>

#include <ATen/ATen.h>

#include "io/error.hpp"

namespace decovec {

at::Tensor Weights::rows_of(size_t parameter, const std::vector<at::Tensor>& companions) const {
  const Parameter& p = parameters[parameter];
  const at::Tensor& companion = companions[holder_of[parameter]];
  return p.rows < 0 ? companion.detach() : companion.detach().narrow(0, p.row, p.rows);
}

bool has_master(const at::Tensor& holder) {
  return holder.scalar_type() == at::kBFloat16 || holder.scalar_type() == at::kHalf;
}

Weights make_weights(std::vector<Parameter> parameters) {
  Weights weights;
  std::unordered_map<const void*, size_t> seen;
  for (const Parameter& parameter : parameters) {
    const at::Tensor& holder = parameter.holder;
    if (!holder.defined() || !holder.is_floating_point() || !holder.is_contiguous())
      reject("train: '{}': expected a contiguous tensor of a floating-point type", parameter.name);
    const auto [found, is_new] = seen.try_emplace(holder.unsafeGetTensorImpl(), weights.holders.size());
    if (is_new) {
      weights.holders.push_back(holder);
      weights.masters.push_back(has_master(holder) ? holder.detach().to(at::kFloat) : holder.detach());
    }
    weights.holder_of.push_back(found->second);
  }
  weights.parameters = std::move(parameters);
  return weights;
}

TrainableScope::TrainableScope(const Weights& weights) : holders_(weights.holders) {
  for (const at::Tensor& holder : holders_) holder.requires_grad_(true);
}

TrainableScope::~TrainableScope() {
  for (at::Tensor& holder : holders_) {
    holder.mutable_grad() = at::Tensor();
    holder.requires_grad_(false);
  }
}

}  // namespace decovec
