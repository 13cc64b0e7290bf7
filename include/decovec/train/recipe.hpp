#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/loss/info_nce.hpp"
#include "decovec/model/embedder.hpp"

namespace decovec {

/// What a data set's examples are, and so how rows are drawn from them (see docs/training.md).
enum class DataKind {
  retrieval,       ///< queries with their right answers
  classification,  ///< texts, each with its label as its one positive: texts of a label answer each other
  clustering,      ///< the same
  sts,             ///< pairs of texts with a score
};

/// A data set of a recipe: `[[data]]`. `name` and `files` are required. A set that one stage uses with
/// in-batch negatives and another without is listed twice, under two names.
struct DataRecipe {
  std::string name;  ///< also of its prompt in the saved folder, so not query or document
  std::vector<std::filesystem::path> files;   ///< JSONL, see Dataset
  std::string query_prompt, document_prompt;  ///< instructions put before queries and documents
  DataKind kind = DataKind::retrieval;
  std::optional<double> threshold = {};  ///< of sts: the score from which on pairs answer each other
  double weight = 1.0;                   ///< how often the set is drawn, see SamplingOptions
  int64_t max_examples = 0;              ///< rows of an epoch, drawn by the seed where there are more; 0: all
  bool in_batch_negatives = true;        ///< its rows share documents with the rows of other such sets
  int64_t negatives = 7;                 ///< negatives a row takes, fewer where fewer exist
};

enum class Optimizer { adamw, sgd };
enum class Schedule { linear, cosine, constant };

inline constexpr int64_t kMaxBatchSize = int64_t{1} << 20;         ///< beyond any that was ever trained with
inline constexpr int64_t kMaxMicroBatchTokens = int64_t{1} << 30;  ///< places in a TokenBatch are int32

/// What must stand beside a right answer for a loss to teach anything.
enum class Contrast {
  any,   ///< in-batch negatives or the row's own
  own,   ///< the row's own negatives
  none,  ///< nothing: scores say what a document is worth
};

/// One loss of a stage: its name with its options beside it in the stage, in a table, or in each table of a
/// list (see docs/losses.md). `weight` and `data` stand in tables only.
struct LossRecipe {
  Loss loss = [](const Embeddings& embeddings, const Relation& relation, FilterCounts* counts) {
    return info_nce(embeddings, relation, {}, counts);
  };
  std::string description = "info_nce()";  ///< a run resumes only with losses of the same descriptions
  double weight = 1.0;
  std::vector<std::string> data = {};  ///< data sets whose rows it is for; empty: all of the stage
  bool needs_scores = false;           ///< of every text of those sets
  int64_t least_columns = 0;           ///< how wide the vectors must be (matryoshka)
  Contrast contrast = Contrast::any;   ///< of every one of those sets
};

/// A stage of training: `[[stage]]`. `name` is required. Optimizer state starts anew in each.
struct StageRecipe {
  std::string name;
  std::vector<std::string> data;                    ///< names of data sets; empty: all
  std::vector<LossRecipe> losses = {LossRecipe()};  ///< `loss`: their weighted sum, see BatchLoss
  int64_t batch_size = 128;             ///< queries in a step, over all ranks; at most kMaxBatchSize
  double homogeneous_ratio = 0;         ///< the part of a batch that is of one data set, see SamplingOptions
  double size_exponent = 0;             ///< weights are multiplied by size^this, see SamplingOptions
  int64_t micro_batch_tokens = 4096;    ///< tokens with a graph at once: memory, not the result
  bool gradient_checkpointing = false;  ///< see ForwardOptions
  double hidden_dropout = 0;            ///< see Dropout::hidden
  int64_t steps = 1000;
  Optimizer optimizer = Optimizer::adamw;
  double learning_rate = 2e-5;
  /// Layer i of n learns at the rate times layer_decay^(n - i), the embedding times layer_decay^(n + 1); the
  /// final norm, and what follows the decoder, at the rate itself.
  double layer_decay = 1.0;
  int64_t warmup_steps = 0;
  Schedule schedule = Schedule::linear;
  double weight_decay = 0.0;     ///< of matrices only
  double clip = 1.0;             ///< the largest norm of the whole gradient; 0: off
  std::filesystem::path output;  ///< also save the model after this stage here; empty: no
};

/// A held-out set: `[[evaluation]]`. `name` and either `task` or `files` are required.
struct EvaluationRecipe {
  std::string name;
  std::filesystem::path task = {};                ///< a task folder, see evaluate()
  std::vector<std::filesystem::path> files = {};  ///< or lines as of a Dataset, of which training has none
  /// Put before queries. Of a task: before all texts but documents; where empty, what evaluate() takes.
  std::optional<std::string> query_prompt = {};
  std::string document_prompt = {};  ///< of `files`
  bool in_batch_negatives = true;    ///< of `files`: whether each query meets the others' documents
};

/// A model with random weights: `[model.new]`. Keys: tokenizer, hidden_size, intermediate_size, layers, heads
/// (these are required), family (the model_type of a config.json; default: mistral), kv_heads (default:
/// heads), head_dim (hidden_size / heads), norm_epsilon, rope_theta, sliding_window, max_positions (as in
/// ModelConfig).
struct NewModelRecipe {
  std::filesystem::path tokenizer;  ///< a sentencepiece model file
  ModelConfig config;               ///< vocab_size follows the tokenizer
};

/// A training run, read from TOML. The keys are the fields' names; those of the model below are in
/// `[embedder]`, where latent_attention's are latents, latent_heads, latent_head_dim, latent_dim and
/// latent_multiplier.
struct Recipe {
  std::filesystem::path model;              ///< the folder to start from; ignored by train()
  std::optional<NewModelRecipe> new_model;  ///< instead of `model`
  std::filesystem::path base;  ///< as LoadOptions::base, for a `model` that is an adapter's folder
  std::vector<std::filesystem::path> adapters;  ///< as LoadOptions::adapters
  /// As LoadOptions::merge_adapters; false trains the last adapter of the starting model further, it alone.
  bool merge_adapters = true;
  /// `[lora]`: a new adapter beside the starting model's weights, which is trained alone. Its keys are
  /// AdapterConfig's rank, alpha, dropout, targets, excluded, layers, modules_to_save, rslora and dora.
  std::optional<AdapterConfig> lora;
  /// Saves a trained adapter as part of the weights, a whole model; false: as an adapter's folder.
  bool merge_output = false;
  std::filesystem::path output;  ///< the folder to write; ignored by train()
  uint64_t seed = 1;
  at::ScalarType dtype = at::kFloat;  ///< of the weights in training and in the output: float32 or bfloat16
  int64_t checkpoint_every = 500;     ///< steps between checkpoints; 0: only at the end of a stage

  // [embedder]: what to make of a plain decoder
  std::optional<Attention> attention;
  std::optional<Pooling> pooling;
  std::optional<bool> eos;
  int64_t max_length = 0;
  LatentAttentionConfig latent_attention = {.head_dim = 0, .latent_dim = 0};

  std::vector<DataRecipe> data;
  std::vector<StageRecipe> stages;

  std::vector<EvaluationRecipe> evaluations;  ///< measured before the first step and after each stage
  int64_t evaluate_every = 0;                 ///< and after so many steps; 0: not between
  /// "SET.METRIC": the checkpoint with the best of it is kept beside the running one. Empty: none is.
  std::string best;
  bool output_best = false;  ///< whether training ends with the weights of that one instead of the last

  /// Reads a recipe. Relative paths count from the recipe's folder, those of overrides too. Throws
  /// std::runtime_error with file and line for wrong syntax, unknown keys, wrong types, values out of range,
  /// names that are used twice or that nothing has, and data files that are not there.
  ///
  /// `overrides` are "key=value", in order: a key of the recipe ("seed=2"), or one in embedder, model.new, or
  /// a set or stage by its name ("stage.retrieval.steps=10"). The value is TOML, or else a text
  /// ("embedder.pooling=mean") in which \n is a line break, as in a TOML string. One without an address that
  /// is there is a std::invalid_argument; a wrong value is an error like one in the file.
  static Recipe load(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});
};

/// The model a recipe starts from: its folder or its random weights, with the recipe's [embedder] and dtype
/// applied. Throws std::invalid_argument for a recipe without either, and what Embedder::load and create
/// throw.
Embedder starting_model(const Recipe& recipe, at::Device device = at::kCPU);

}  // namespace decovec
