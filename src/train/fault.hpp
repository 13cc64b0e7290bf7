// Which examples made a step fail.
#pragma once
#include <string>
#include <vector>

#include "train/grad_cache.hpp"
#include "train/optimizer.hpp"
#include "train/step_batch.hpp"
#include "train/weights.hpp"

namespace decovec {

/// Names the examples whose embedding, loss or gradient is not finite, at most three of them.
std::string examples_at_fault(const CachedLoss& result, const StepBatch& batch, const LossFunction& loss,
                              const std::vector<TrainingSet>& sets);

/// "gradient of 'NAME'" for the first parameter whose gradient is not finite, or "norm of the gradient".
std::string broken_gradient(const Weights& weights, const std::vector<at::Tensor>& gradients);

/// The name of the first weight, master or optimizer moment that holds a number that is not finite; empty
/// where none does.
std::string broken_weight(const Weights& weights, const OptimizerState& optimizer);

}  // namespace decovec
