#include <utility>

#include "decovec/train/recipe.hpp"
#include "io/error.hpp"

namespace decovec {

Embedder starting_model(const Recipe& recipe, at::Device device) {
  return at_boundary("starting_model", [&] {
    if (recipe.model.empty() == !recipe.new_model) {
      reject("starting_model: recipe: expected either a model folder or [model.new], got {}",
             recipe.new_model ? "both" : "neither");
    }
    const LoadOptions options{.device = device,
                              .dtype = recipe.dtype,
                              .attention = recipe.attention,
                              .pooling = recipe.pooling,
                              .eos = recipe.eos,
                              .max_length = recipe.max_length,
                              .latent_attention = recipe.latent_attention,
                              .seed = recipe.seed,
                              .adapters = recipe.adapters,
                              .base = recipe.base,
                              .merge_adapters = recipe.merge_adapters};
    if (!recipe.new_model) {
      Embedder model = Embedder::load(recipe.model, options);
      if (!recipe.merge_adapters && model.adapters.empty())
        reject("starting_model: merge_adapters = false: {} has no adapter to train further",
               recipe.model.string());
      return model;
    }
    const auto tokenizer = Tokenizer::from_sentencepiece(recipe.new_model->tokenizer);
    ModelConfig config = recipe.new_model->config;
    config.vocab_size = tokenizer->size();
    config.dtype = recipe.dtype;
    return Embedder::create(config, tokenizer, options);
  });
}

}  // namespace decovec
