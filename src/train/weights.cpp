#include "train/weights.hpp"

#include <algorithm>
#include <unordered_map>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

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

void restore_tensors(const std::vector<NamedTensor>& tensors, const TensorFiles& file) {
  at::NoGradGuard no_grad;
  constexpr const char* kOther = "is it the checkpoint of another model?";
  for (const auto& [name, tensor] : tensors) {
    if (!file.contains(name)) fail("{}: tensor '{}': missing; {}", file.path().string(), name, kOther);
    const at::Tensor saved = file.tensor(name);
    if (saved.sizes() != tensor.sizes() || saved.scalar_type() != tensor.scalar_type())
      fail("{}: tensor '{}': expected {} {}, got {} {}; {}", file.path().string(), name,
           c10::toString(tensor.scalar_type()), c10::str(tensor.sizes()), c10::toString(saved.scalar_type()),
           c10::str(saved.sizes()), kOther);
  }
  for (const std::string& name : file.names())
    if (std::none_of(tensors.begin(), tensors.end(), [&](const NamedTensor& t) { return t.name == name; }))
      fail("{}: tensor '{}': unexpected; {}", file.path().string(), name, kOther);
  for (const auto& [name, tensor] : tensors) at::Tensor(tensor).copy_(file.tensor(name));
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
