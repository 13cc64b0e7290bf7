#include "train/optimizer.hpp"

#include <algorithm>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "io/error.hpp"

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

double global_norm(const std::vector<at::Tensor>& gradients) {
  if (gradients.empty()) return 0;
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> norms;
  for (const at::Tensor& gradient : gradients) {
    const at::ScalarType type = gradient.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    norms.push_back(at::linalg_vector_norm(gradient, 2, std::nullopt, false, type).to(at::kDouble));
  }
  return at::linalg_vector_norm(at::stack(norms), 2).item<double>();
}

double clip_scale(double norm, double clip) { return clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0; }

void update(const Weights& weights, std::vector<at::Tensor>& gradients, OptimizerState& state,
            const UpdateOptions& options) {
  at::NoGradGuard no_grad;
  allocate_moments(weights, state);
  ++state.steps;
  for (size_t i = 0; i < weights.holders.size(); ++i) {
    at::Tensor master = weights.masters[i];
    at::Tensor gradient = std::exchange(gradients[i], {}).to(master.scalar_type());
    if (options.gradient_scale != 1) gradient.mul_(options.gradient_scale);
    const double decay = master.dim() >= 2 ? options.weight_decay : 0;
    if (state.kind == Optimizer::adamw) {
      const at::Tensor count =
          at::full({}, static_cast<double>(state.steps), master.options().dtype(at::kFloat));
      at::_fused_adamw_({master}, {gradient}, {state.exp_avg[i]}, {state.exp_avg_sq[i]}, {}, {count},
                        options.learning_rate, kBeta1, kBeta2, decay, kEpsilon, /*amsgrad=*/false,
                        /*maximize=*/false);
    } else {
      if (decay != 0) master.mul_(1 - options.learning_rate * decay);
      master.add_(gradient, -options.learning_rate);
    }
    if (has_master(weights.holders[i])) weights.holders[i].copy_(master);
  }
}

std::vector<NamedTensor> named_state(const Weights& weights, const OptimizerState& state) {
  std::vector<NamedTensor> tensors;
  for (size_t p = 0; p < weights.parameters.size(); ++p) {
    const std::string& name = weights.parameters[p].name;
    if (!state.exp_avg.empty()) {
      tensors.push_back({"exp_avg." + name, weights.rows_of(p, state.exp_avg)});
      tensors.push_back({"exp_avg_sq." + name, weights.rows_of(p, state.exp_avg_sq)});
    }
    if (has_master(weights.parameters[p].holder))
      tensors.push_back({"master." + name, weights.rows_of(p, weights.masters)});
  }
  return tensors;
}

void restore_state(const Weights& weights, OptimizerState& state, const TensorFiles& file) {
  at::NoGradGuard no_grad;
  if (state.steps > 0) allocate_moments(weights, state);
  restore_tensors(named_state(weights, state), file);
  for (size_t i = 0; i < weights.holders.size(); ++i)
    if (has_master(weights.holders[i])) weights.holders[i].copy_(weights.masters[i]);
}

}  // namespace decovec
