// The learning rate of a step.
#pragma once
#include <cstdint>

#include "decovec/train/recipe.hpp"

namespace decovec {

/// The learning rate of step t, from 1 to stage.steps: learning_rate * min(1, t / warmup_steps), and past the
/// warm-up times (steps - t) / (steps - warmup_steps) (linear), half a cosine from 1 to 0 (cosine), or 1
/// (constant). Linear and cosine are 0 at t = steps: transformers' schedules, evaluated at t.
double learning_rate(const StageRecipe& stage, int64_t t);

}  // namespace decovec
