#include "decovec/train/train.hpp"

#include <ATen/core/grad_mode.h>

#include "io/error.hpp"
#include "model/adapter_folder.hpp"
#include "train/trainer.hpp"

namespace decovec {

TrainResult train(Embedder& model, const Recipe& recipe, const TrainOptions& options) {
  return at_boundary("train", [&] {
    if (unmerged_adapter(model) != nullptr)
      reject(
          "train: the model's adapter: expected it merged; training of adapters alone is not supported "
          "yet: merge it first (Embedder::merge_adapters)");
    at::AutoGradMode with_graph(true);
    return Trainer(model, recipe, options).run();
  });
}

}  // namespace decovec
