#include "decovec/train/train.hpp"

#include <ATen/core/grad_mode.h>

#include "io/error.hpp"
#include "train/trainer.hpp"

namespace decovec {

TrainResult train(Embedder& model, const Recipe& recipe, const TrainOptions& options) {
  return at_boundary("train", [&] {
    at::AutoGradMode with_graph(true);
    return Trainer(model, recipe, options).run();
  });
}

}  // namespace decovec
