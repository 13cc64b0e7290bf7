#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "decovec/model/embedder.hpp"
#include "decovec/train/recipe.hpp"
#include "decovec/world/world.hpp"

namespace decovec {

/// One finished step.
struct StepReport {
  std::string stage;
  int64_t step = 0, steps = 0;  ///< within the stage, from 1
  int64_t total_step = 0, total_steps = 0;
  double loss = 0;           ///< the mean over the global batch
  double gradient_norm = 0;  ///< before clipping
  double learning_rate = 0;
  int64_t tokens = 0;     ///< of this step
  int64_t truncated = 0;  ///< texts cut at max_length in this step
  int64_t masked = 0;     ///< documents that were right answers to another query, hence not negatives
  int64_t filtered = 0;   ///< candidates that a loss's filter by score left out
  /// Tokens with a graph at once: the recipe's, or fewer since memory ran out on some rank.
  int64_t micro_batch_tokens = 0;
  double seconds = 0;            ///< of this step
  double tokens_per_second = 0;  ///< a moving average
  double seconds_left = 0;       ///< an estimate
};

/// A held-out set's figures, the main one first: see evaluate(), and docs/training.md for sets of training's
/// layout. One that has no value is NaN.
struct EvaluatedSet {
  std::string name;  ///< in the recipe
  std::vector<std::pair<std::string, double>> metrics;
};

/// What the held-out sets said after a step, or before the first (total_step 0).
struct EvaluationReport {
  std::string stage;
  int64_t step = 0, total_step = 0;
  std::vector<EvaluatedSet> sets = {};
  bool best = false;   ///< better than all before by the recipe's `best`
  double seconds = 0;  ///< that it took
};

struct TrainOptions {
  /// Where `step-N/` checkpoints stand while training; empty: none are written. Also of `best-N/`, the model
  /// that was best by the recipe's `best`, which stays there.
  std::filesystem::path checkpoints = {};
  /// Go on from the newest checkpoint there. Without it, an existing checkpoint is an error.
  bool resume = false;
  /// Called once, when all is checked and the first step comes next; on all ranks.
  std::function<void()> on_start = {};
  /// Called after each step.
  std::function<void(const StepReport&)> on_step = {};
  /// Called after each evaluation, which follows its step's on_step.
  std::function<void(const EvaluationReport&)> on_evaluation = {};
  /// Draw and tokenize the next batch on a thread while a step computes: time, not the result.
  bool prepare_ahead = true;
  /// A requested stop ends training after the running step, with a checkpoint.
  std::stop_token stop = {};
  /// The ranks that train together; empty: this process alone.
  World* world = nullptr;
};

enum class TrainResult { finished, stopped };

/// Trains the model in place by the recipe's stages, ignoring its `model` and `output`. Exact: the gradient
/// of the global batch's mean loss, whatever micro_batch_tokens, checkpointing or the number of ranks. Also
/// sets the model's prompts from the recipe's data sets. Throws std::runtime_error that names stage, step and
/// examples where the loss is not finite.
TrainResult train(Embedder& model, const Recipe& recipe, const TrainOptions& options = {});

}  // namespace decovec
