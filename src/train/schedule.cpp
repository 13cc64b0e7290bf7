#include "train/schedule.hpp"

#include <cmath>
#include <numbers>

namespace decovec {

double learning_rate(const StageRecipe& stage, int64_t t) {
  if (t < stage.warmup_steps)
    return stage.learning_rate * static_cast<double>(t) / static_cast<double>(stage.warmup_steps);
  if (stage.schedule == Schedule::constant || stage.steps <= stage.warmup_steps) return stage.learning_rate;
  const double left =
      static_cast<double>(stage.steps - t) / static_cast<double>(stage.steps - stage.warmup_steps);
  if (stage.schedule == Schedule::linear) return stage.learning_rate * left;
  return stage.learning_rate * 0.5 * (1 + std::cos(std::numbers::pi * (1 - left)));
}

}  // namespace decovec
