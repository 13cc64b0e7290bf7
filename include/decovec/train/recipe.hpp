#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/model/embedder.hpp"

namespace decovec {

/// A data set of a recipe: `[[data]]`.
struct DataRecipe {
  std::string name;                           ///< also the name of its prompts in the saved folder
  std::vector<std::filesystem::path> files;   ///< JSONL, see Dataset
  std::string query_prompt, document_prompt;  ///< instructions put before queries and documents
  double weight = 1.0;                        ///< a batch row draws this set with probability weight / sum
  bool in_batch_negatives = true;             ///< its rows share documents with the rows of other such sets
  int64_t negatives = 0;                      ///< hard negatives a row takes, fewer where fewer exist
};

enum class Optimizer { adamw, sgd };
enum class Schedule { linear, cosine, constant };

/// A stage of training: `[[stage]]`. Optimizer state starts anew in each.
struct StageRecipe {
  std::string name;
  std::vector<std::string> data;  ///< names of data sets; empty: all
  std::string loss = "info_nce";
  double temperature = 0.05;
  int64_t batch_size = 128;             ///< queries in a step, over all ranks
  int64_t micro_batch_tokens = 4096;    ///< tokens with a graph at once: memory, not the result
  bool gradient_checkpointing = false;  ///< see ForwardOptions
  int64_t steps = 1000;
  Optimizer optimizer = Optimizer::adamw;
  double learning_rate = 2e-5;
  int64_t warmup_steps = 0;
  Schedule schedule = Schedule::linear;
  double weight_decay = 0.0;     ///< of matrices only
  double clip = 1.0;             ///< the largest norm of the whole gradient; 0: off
  std::filesystem::path output;  ///< also save the model after this stage here; empty: no
};

/// Sizes of a model with random weights: `[model.new]`.
struct NewModelRecipe {
  std::filesystem::path tokenizer;  ///< a sentencepiece model file
  ModelConfig config;               ///< vocab_size follows the tokenizer
};

/// A training run, read from TOML. The keys are the fields' names.
struct Recipe {
  std::filesystem::path model;              ///< the folder to start from; ignored by train()
  std::optional<NewModelRecipe> new_model;  ///< instead of `model`
  std::filesystem::path output;             ///< the folder to write; ignored by train()
  uint64_t seed = 1;
  at::ScalarType dtype = at::kFloat;  ///< of the weights in training and in the output; masters are float32
  int64_t checkpoint_every = 500;     ///< steps between checkpoints; 0: only at the end of a stage

  // [embedder]: what to make of a plain decoder
  std::optional<Attention> attention;
  std::optional<Pooling> pooling;
  std::optional<bool> eos;
  int64_t max_length = 0;
  LatentAttentionConfig latent_attention = {.head_dim = 0, .latent_dim = 0};

  std::vector<DataRecipe> data;
  std::vector<StageRecipe> stages;

  /// Reads a recipe; relative paths count from the recipe's folder. `overrides` are "key=value" with a TOML
  /// value or a bare word, the key addressing sets and stages by name ("stage.retrieval.steps=10"). Throws
  /// std::runtime_error with file and line for unknown keys, wrong types, values out of range, names used
  /// twice or not at all.
  static Recipe load(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});
};

/// The model a recipe starts from: its folder or its random weights, with the recipe's [embedder] and dtype
/// applied.
Embedder starting_model(const Recipe& recipe, at::Device device = at::kCPU);

}  // namespace decovec
