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

/// AdamW's moments, one of each a holder: of the slice that this rank owns, flat and in the masters' type;
/// none for SGD, none before the first step.
struct OptimizerState {
  Optimizer kind = Optimizer::adamw;
  int64_t steps = 0;
  std::vector<at::Tensor> exp_avg = {}, exp_avg_sq = {};
};

/// The L2 norm of all gradients of all ranks as one vector, in float32 at least.
double global_norm(const std::vector<at::Tensor>& gradients, World& world);
/// min(1, clip / (norm + 1e-6)), torch's clip_grad_norm_; 1 where clip is 0.
double clip_scale(double norm, double clip);

struct UpdateOptions {
  double learning_rate = 0;
  std::vector<double> rate_scales = {};  ///< [holders], of the rate; empty: 1
  double weight_decay = 0;               ///< of holders with two dimensions or more
  double gradient_scale = 1;             ///< see clip_scale
};

/// What StageRecipe::layer_decay makes of each holder's rate; empty where it is 1.
std::vector<double> rate_scales(const Weights& weights, const Embedder& model, double layer_decay);

/// One step: AdamW (torch.optim.AdamW with betas 0.9, 0.999, eps 1e-8; Loshchilov, Hutter 2019,
/// arXiv:1711.05101) or SGD without momentum. `gradients` is one a holder, of this rank's slice (see
/// GradientSum), and is used up. Each rank updates its own slices, then all get the new weights of all.
void update(const Weights& weights, std::vector<at::Tensor>& gradients, OptimizerState& state,
            const UpdateOptions& options, World& world);

/// A parameter's part of the state, as files name it: "exp_avg.NAME", "exp_avg_sq.NAME", and "master.NAME"
/// where there is one.
struct NamedState {
  std::string name;
  size_t parameter;
  at::Tensor own_part;  ///< a view of this rank's elements of it, see Weights::own_part

  /// What a file holds of it: name, shape and type, without values.
  NamedTensor described(const Weights& weights) const;
  /// The whole of it, on all ranks.
  NamedTensor collected(const Weights& weights, World& world) const;
};
std::vector<NamedState> named_state(const Weights& weights, const OptimizerState& state);
/// Reads own slices back into a state of the same kind and steps, masters and their rounding into the weights
/// included, whatever the number of ranks that wrote it. Throws std::runtime_error for tensors that are
/// missing, too many, or of another shape or type.
void restore_state(const Weights& weights, OptimizerState& state, const TensorFiles& file, World& world);

}  // namespace decovec
