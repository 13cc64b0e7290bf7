// Which examples made a step fail.
#pragma once
#include <string>
#include <vector>

#include "decovec/data/batch_sampler.hpp"
#include "train/grad_cache.hpp"
#include "train/step_batch.hpp"

namespace decovec {

/// Names the examples whose embedding, loss or gradient is not finite, at most three of them.
std::string examples_at_fault(const CachedLoss& result, const StepBatch& batch, const LossFunction& loss,
                              const std::vector<TrainingSet>& sets, const std::vector<BatchRow>& rows);

}  // namespace decovec
