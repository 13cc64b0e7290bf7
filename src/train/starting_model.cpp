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
                              .seed = recipe.seed};
    if (!recipe.new_model) return Embedder::load(recipe.model, options);
    const auto tokenizer = Tokenizer::from_sentencepiece(recipe.new_model->tokenizer);
    ModelConfig config = recipe.new_model->config;
    config.vocab_size = tokenizer->size();
    config.dtype = recipe.dtype;
    return Embedder::create(config, tokenizer, options);
  });
}

}  // namespace decovec
