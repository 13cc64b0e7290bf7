#include "train/weights.hpp"

#include <algorithm>
#include <unordered_map>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "io/error.hpp"
#include "model/adapter_folder.hpp"
#include "train/shards.hpp"

namespace decovec {
namespace {

/// A parameter's elements among its holder's.
RowRange elements_of(const Parameter& parameter) {
  const at::Tensor& holder = parameter.holder;
  if (parameter.rows < 0) return {0, holder.numel()};
  const int64_t row = holder.numel() / holder.size(0);
  return {parameter.row * row, (parameter.row + parameter.rows) * row};
}

}  // namespace

std::vector<at::Tensor> Weights::own_slices() const {
  std::vector<at::Tensor> slices;
  for (const at::Tensor& holder : holders) slices.push_back(own_slice(holder, rank, ranks));
  return slices;
}

RowRange Weights::own_elements(size_t parameter) const {
  const at::Tensor& holder = parameters[parameter].holder;
  const RowRange all = elements_of(parameters[parameter]), own = rows_of_rank(holder.numel(), rank, ranks);
  return {std::clamp(own.begin, all.begin, all.end) - all.begin,
          std::clamp(own.end, all.begin, all.end) - all.begin};
}

at::Tensor Weights::own_part(size_t parameter, const std::vector<at::Tensor>& slices) const {
  const at::Tensor& holder = parameters[parameter].holder;
  const at::Tensor& slice = slices[holder_of[parameter]];
  const RowRange part = own_elements(parameter);
  if (part.size() == 0) return slice.narrow(0, 0, 0);
  const int64_t first = elements_of(parameters[parameter]).begin + part.begin;
  return slice.narrow(0, first - rows_of_rank(holder.numel(), rank, ranks).begin, part.size());
}

bool has_master(const at::Tensor& holder) {
  return holder.scalar_type() == at::kBFloat16 || holder.scalar_type() == at::kHalf;
}

std::vector<Parameter> trained_parameters(const Embedder& model) {
  const Adapter* adapter = unmerged_adapter(model);
  std::vector<Parameter> all = model.parameters(), trained;
  if (adapter == nullptr) return all;
  const std::vector<Parameter> decoder = parameters(model.transformer);  // the first of `all`
  const auto is_trained = [&](const std::string& name) {
    if (is_adapter_weight(name)) return true;
    const auto& replaced = adapter->replaced;
    // An embedding may have come along because it was resized; it is not trained then, as PEFT does not.
    return std::find(replaced.begin(), replaced.end(), name) != replaced.end() &&
           replaces(adapter->config, adapter->path_prefix + name, /*targeted=*/true);
  };
  std::unordered_map<const void*, int64_t> rows;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i < decoder.size() && !is_trained(decoder[i].name)) continue;
    rows[all[i].holder.unsafeGetTensorImpl()] += all[i].shape().at(0);
    trained.push_back(all[i]);
  }
  for (const Parameter& parameter : trained)
    if (rows.at(parameter.holder.unsafeGetTensorImpl()) != parameter.holder.size(0))
      reject(
          "train: the adapter replaces '{}' without what it is held together with (q, k and v, or gate and "
          "up), which is not supported; let modules_to_save, or bias, name all or none of them",
          parameter.name);
  return trained;
}

Weights make_weights(std::vector<Parameter> parameters, const World& world) {
  Weights weights;
  weights.rank = world.rank();
  weights.ranks = world.size();
  std::unordered_map<const void*, size_t> seen;
  for (const Parameter& parameter : parameters) {
    const at::Tensor& holder = parameter.holder;
    if (!holder.defined() || !holder.is_floating_point() || !holder.is_contiguous())
      reject("train: '{}': expected a contiguous tensor of a floating-point type", parameter.name);
    const auto [found, is_new] = seen.try_emplace(holder.unsafeGetTensorImpl(), weights.holders.size());
    if (is_new) {
      weights.holders.push_back(holder);
      const at::Tensor own = own_slice(holder, weights.rank, weights.ranks);
      weights.masters.push_back(has_master(holder) ? own.to(at::kFloat) : own);
    }
    weights.holder_of.push_back(found->second);
  }
  weights.parameters = std::move(parameters);
  return weights;
}

void check_tensors(const std::vector<NamedTensor>& tensors, const TensorFiles& file) {
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
}

void restore_tensors(const std::vector<NamedTensor>& tensors, const TensorFiles& file) {
  at::NoGradGuard no_grad;
  check_tensors(tensors, file);
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
