// The update rules. No momentum but Adam's, no state but tensors and a count.
#pragma once
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/io/safetensors.hpp"
#include "decovec/io/tensor_files.hpp"
#include "decovec/train/recipe.hpp"
#include "train/weights.hpp"

namespace decovec {

/// AdamW's moments, one of each a holder, in the masters' type; none for SGD, none before the first step.
struct OptimizerState {
  Optimizer kind = Optimizer::adamw;
  int64_t steps = 0;
  std::vector<at::Tensor> exp_avg = {}, exp_avg_sq = {};
};

/// The L2 norm of all gradients as one vector, in float32 at least.
double global_norm(const std::vector<at::Tensor>& gradients);
/// min(1, clip / (norm + 1e-6)), torch's clip_grad_norm_; 1 where clip is 0.
double clip_scale(double norm, double clip);

struct UpdateOptions {
  double learning_rate = 0;
  double weight_decay = 0;    ///< of holders with two dimensions or more
  double gradient_scale = 1;  ///< see clip_scale
};

/// One step: AdamW (torch.optim.AdamW with betas 0.9, 0.999, eps 1e-8; Loshchilov, Hutter 2019,
/// arXiv:1711.05101) or SGD without momentum. `gradients` is one a holder and is used up.
void update(const Weights& weights, std::vector<at::Tensor>& gradients, OptimizerState& state,
            const UpdateOptions& options);

/// Views of the state for a file: "exp_avg.NAME", "exp_avg_sq.NAME", and "master.NAME" where there is one.
std::vector<NamedTensor> named_state(const Weights& weights, const OptimizerState& state);
/// Reads them back into a state of the same kind and steps, masters and their rounding into the weights
/// included. Throws std::runtime_error for
/// tensors that are missing, too many, or of another shape or type.
void restore_state(const Weights& weights, OptimizerState& state, const TensorFiles& file);

}  // namespace decovec
