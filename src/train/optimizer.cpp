#include "train/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "train/shards.hpp"

namespace decovec {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;

void allocate_moments(const Weights& weights, OptimizerState& state) {
  if (state.kind != Optimizer::adamw || !state.exp_avg.empty()) return;
  for (const at::Tensor& master : weights.masters) {
    state.exp_avg.push_back(at::zeros_like(master));
    state.exp_avg_sq.push_back(at::zeros_like(master));
  }
}

}  // namespace

double global_norm(const std::vector<at::Tensor>& gradients, World& world) {
  if (gradients.empty()) return 0;
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> norms;
  for (const at::Tensor& gradient : gradients) {
    const at::ScalarType type = gradient.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    norms.push_back(at::linalg_vector_norm(gradient, 2, std::nullopt, false, type).to(at::kDouble));
  }
  at::Tensor squares = at::stack(norms).square().sum();
  world.reduce(squares);
  return std::sqrt(squares.item<double>());
}

double clip_scale(double norm, double clip) { return clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0; }

std::vector<double> rate_scales(const Weights& weights, const Embedder& model, double layer_decay) {
  if (layer_decay == 1) return {};
  std::vector<double> scales(weights.holders.size());
  const int64_t layers = model.transformer.config.layers;
  for (size_t p = 0; p < weights.parameters.size(); ++p) {
    const std::string& name = weights.parameters[p].name;
    constexpr std::string_view kLayers = "layers.";
    int64_t above = 0;
    if (name.find("embed_tokens") != name.npos) {
      above = layers + 1;
    } else if (const size_t at = name.find(kLayers); at != name.npos) {
      above = layers - std::stoll(name.substr(at + kLayers.size()));
    }
    scales[weights.holder_of[p]] = std::pow(layer_decay, static_cast<double>(above));
  }
  return scales;
}

void update(const Weights& weights, std::vector<at::Tensor>& gradients, OptimizerState& state,
            const UpdateOptions& options, World& world) {
  at::NoGradGuard no_grad;
  allocate_moments(weights, state);
  ++state.steps;
  const std::vector<at::Tensor> own = weights.own_slices();
  for (size_t i = 0; i < weights.holders.size(); ++i) {
    at::Tensor master = weights.masters[i];
    at::Tensor gradient = std::exchange(gradients[i], {}).to(master.scalar_type());
    if (master.numel() == 0) continue;
    if (options.gradient_scale != 1) gradient.mul_(options.gradient_scale);
    const double decay = weights.holders[i].dim() >= 2 ? options.weight_decay : 0;
    const double rate = options.learning_rate * (options.rate_scales.empty() ? 1 : options.rate_scales[i]);
    if (state.kind == Optimizer::adamw) {
      const at::Tensor count =
          at::full({}, static_cast<double>(state.steps), master.options().dtype(at::kFloat));
      at::_fused_adamw_({master}, {gradient}, {state.exp_avg[i]}, {state.exp_avg_sq[i]}, {}, {count}, rate,
                        kBeta1, kBeta2, decay, kEpsilon, /*amsgrad=*/false,
                        /*maximize=*/false);
    } else {
      if (decay != 0) master.mul_(1 - rate * decay);
      master.add_(gradient, -rate);
    }
    if (has_master(weights.holders[i])) at::Tensor(own[i]).copy_(master);
  }
  gather_from_owners(weights.holders, world);
}

NamedTensor NamedState::described(const Weights& weights) const {
  return {name, at::empty(weights.parameters[parameter].shape(), own_part.options().device(at::kMeta))};
}

NamedTensor NamedState::collected(const Weights& weights, World& world) const {
  return {name, world.gather(own_part).view(weights.parameters[parameter].shape())};
}

std::vector<NamedState> named_state(const Weights& weights, const OptimizerState& state) {
  std::vector<NamedState> named;
  for (size_t p = 0; p < weights.parameters.size(); ++p) {
    const auto add = [&](const char* kind, const std::vector<at::Tensor>& slices) {
      named.push_back({kind + weights.parameters[p].name, p, weights.own_part(p, slices)});
    };
    if (!state.exp_avg.empty()) {
      add("exp_avg.", state.exp_avg);
      add("exp_avg_sq.", state.exp_avg_sq);
    }
    if (has_master(weights.parameters[p].holder)) add("master.", weights.masters);
  }
  return named;
}

void restore_state(const Weights& weights, OptimizerState& state, const TensorFiles& file, World& world) {
  at::NoGradGuard no_grad;
  if (state.steps > 0) allocate_moments(weights, state);
  const std::vector<NamedState> named = named_state(weights, state);
  std::vector<NamedTensor> described;
  for (const NamedState& part : named) described.push_back(part.described(weights));
  check_tensors(described, file);
  for (const NamedState& part : named) {
    const RowRange own = weights.own_elements(part.parameter);
    at::Tensor(part.own_part).copy_(file.tensor(part.name).view(-1).narrow(0, own.begin, own.size()));
  }
  const std::vector<at::Tensor> own = weights.own_slices();
  for (size_t i = 0; i < weights.holders.size(); ++i)
    if (has_master(weights.holders[i])) at::Tensor(own[i]).copy_(weights.masters[i]);
  gather_from_owners(weights.holders, world);
}

}  // namespace decovec
