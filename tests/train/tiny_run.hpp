// Models, data and recipes small enough to train within a test.
#pragma once
#include <fstream>
#include <string>
#include <vector>

#include <ATen/Parallel.h>

#include "decovec/data/dataset.hpp"
#include "decovec/train/train.hpp"
#include "model/model_folder.hpp"

namespace decovec::test {

// Tensors as small as these gain nothing from threads, and on a busy machine waiting for them takes minutes.
inline const bool one_thread = (at::set_num_threads(1), true);

inline Embedder tiny_model(Pooling pooling = Pooling::mean, at::ScalarType dtype = at::kFloat,
                           Attention attention = Attention::bidirectional) {
  const auto tokenizer = Tokenizer::from_sentencepiece(test_data() / "tokenizer" / "tokenizer.model");
  ModelConfig config;
  config.vocab_size = tokenizer->size();
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.layers = 2;
  config.heads = 2;
  config.kv_heads = 1;
  config.head_dim = 8;
  config.attention = attention;
  return Embedder::create(config, tokenizer,
                          {.dtype = dtype,
                           .pooling = pooling,
                           .max_length = 24,
                           .latent_attention = {.latents = 5, .heads = 2, .head_dim = 8, .latent_dim = 12}});
}

/// Examples with zero to three hard negatives; two of them share a positive.
inline Dataset tiny_definitions() {
  return {"definitions",
          {{"whale", {"a large mammal of the sea", "a swimmer"}, {"a small boat", "a bird", "a tree"}},
           {"oak", {"a tree with hard wood"}, {}},
           {"boat", {"a small ship"}, {"a large mammal of the sea"}},
           {"dolphin", {"a swimmer"}, {"a tree with hard wood", "a word"}},
           {"noun", {"a word that names a thing"}, {"a sound"}},
           {"gravity", {"the force that pulls things to the ground"}, {"a tree", "a sound", "a swimmer"}},
           {"song",
            {"a sound that people sing together for a long time in the evening of each day of the year"},
            {"a word"}}}};
}

inline Dataset tiny_topics() {
  return {"topics",
          {{"the sea is deep", {"nature"}, {"language", "music"}},
           {"a verb is a word", {"language"}, {"nature", "music"}},
           {"they sing a song", {"music"}, {"nature"}},
           {"the forest is green", {"nature"}, {"music"}}}};
}

inline void write_jsonl(const fs::path& file, const Dataset& dataset) {
  std::ofstream out(file);
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const Example example = dataset.example(i);
    out << Json({{"query", example.query}, {"pos", example.positives}, {"neg", example.negatives}}).dump()
        << '\n';
  }
}

/// Two stages over the two sets, whose files are written into `folder`.
inline Recipe tiny_recipe(const fs::path& folder) {
  write_jsonl(folder / "definitions.jsonl", tiny_definitions());
  write_jsonl(folder / "topics.jsonl", tiny_topics());
  Recipe recipe;
  recipe.seed = 7;
  recipe.checkpoint_every = 0;
  recipe.data = {{.name = "definitions",
                  .files = {folder / "definitions.jsonl"},
                  .query_prompt = "find: ",
                  .document_prompt = "text: ",
                  .weight = 2.0,
                  .negatives = 2},
                 {.name = "topics",
                  .files = {folder / "topics.jsonl"},
                  .query_prompt = "topic: ",
                  .document_prompt = "",
                  .in_batch_negatives = false,
                  .negatives = 2}};
  StageRecipe first;
  first.name = "first";
  first.data = {"definitions"};
  first.batch_size = 5;
  first.micro_batch_tokens = 64;
  first.steps = 4;
  first.learning_rate = 1e-2;
  first.warmup_steps = 2;
  first.weight_decay = 0.01;
  StageRecipe second = first;
  second.name = "second";
  second.data = {};
  second.steps = 3;
  second.warmup_steps = 0;
  second.schedule = Schedule::cosine;
  recipe.stages = {first, second};
  return recipe;
}

inline std::vector<at::Tensor> weights_of(const Embedder& model) {
  std::vector<at::Tensor> values;
  for (const Parameter& parameter : model.parameters()) values.push_back(parameter.value().clone());
  return values;
}

inline bool same_weights(const Embedder& a, const Embedder& b) {
  const std::vector<at::Tensor> left = weights_of(a), right = weights_of(b);
  for (size_t i = 0; i < left.size(); ++i)
    if (!left[i].equal(right[i])) return false;
  return left.size() == right.size();
}

}  // namespace decovec::test
