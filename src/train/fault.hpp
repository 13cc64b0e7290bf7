// Which examples made a step fail.
#pragma once
#include <string>
#include <vector>

#include "train/grad_cache.hpp"
#include "train/optimizer.hpp"
#include "train/step_batch.hpp"
#include "train/weights.hpp"

namespace decovec {

/// Names the examples whose embedding, loss or gradient is not finite, at most three of them: on the ranks
/// that have them, and nothing on the others; where no example stands out, rank 0 says so.
std::string examples_at_fault(const CachedLoss& result, const StepBatch& batch, const LossFunction& loss,
                              const std::vector<TrainingSet>& sets, World& world);

/// "gradient of 'NAME'" for the first parameter whose gradient is not finite on some rank, or "norm of the
/// gradient". `gradients` are own slices.
std::string broken_gradient(const Weights& weights, const std::vector<at::Tensor>& gradients, World& world);

/// The name of the first weight, master or optimizer moment that holds a number that is not finite among
/// those that this rank owns; empty where none does.
std::string broken_weight(const Weights& weights, const OptimizerState& optimizer);

}  // namespace decovec
