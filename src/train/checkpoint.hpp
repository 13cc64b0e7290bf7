// What an interrupted run needs to go on bit for bit: a folder step-N/ with the model, or where a part of it
// is trained that part, the optimizer's state and float32 masters, the sampler's positions, counters, and
// what the run was.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "decovec/model/embedder.hpp"
#include "decovec/train/recipe.hpp"
#include "io/json.hpp"
#include "train/optimizer.hpp"
#include "train/weights.hpp"

namespace decovec {

/// The evaluation with the best figure of a run.
struct BestEvaluation {
  int64_t total_step = 0;  ///< after which it was
  double figure = 0;       ///< more is better
};

/// How far a run is.
struct Progress {
  int64_t stage = 0;               ///< the stage that runs, by index
  int64_t step = 0;                ///< steps of it that are done
  int64_t total_step = 0;          ///< steps of all stages that are done
  std::vector<int64_t> positions;  ///< of the stage's sampler
  std::optional<BestEvaluation> best = {};
};

/// The checkpoint with the largest N in a folder, which need not exist.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& checkpoints);

/// The model folder that a checkpoint holds.
std::filesystem::path checkpointed_model(const std::filesystem::path& checkpoint);

/// The folder best-N that holds the best model; nothing where there is none.
std::optional<std::filesystem::path> best_model(const std::filesystem::path& checkpoints);

/// Writes step-N whole, N = progress.total_step, then removes the other checkpoints of the folder. All ranks
/// call it: rank 0 writes, and gets the state of the others tensor by tensor. `fingerprint` is rank 0's.
/// Where this step's evaluation is the best, `model` is also saved as best-N, before it and as the recipe
/// wants its output: so a run that is killed in between finds the best that its checkpoint tells of.
void save_checkpoint(const std::filesystem::path& checkpoints, const Embedder& model, const Weights& weights,
                     const OptimizerState& optimizer, const Progress& progress,
                     const OrderedJson& fingerprint, World& world, const Recipe& recipe);

/// Throws std::runtime_error that names the first difference where a checkpoint is another run's, and where
/// another version wrote it.
void check_same_run(const std::filesystem::path& checkpoint, const OrderedJson& fingerprint);

/// Puts weights and optimizer state back, on all ranks, however many there were. Throws std::runtime_error
/// that names file and key or tensor for a checkpoint that is broken or does not fit the recipe or the
/// weights.
Progress load_checkpoint(const std::filesystem::path& checkpoint, const Recipe& recipe,
                         const Weights& weights, OptimizerState& optimizer, World& world);

/// Removes the checkpoints of a folder, what killed runs left there, and the folder itself if nothing else is
/// in it.
void remove_checkpoints(const std::filesystem::path& checkpoints);

}  // namespace decovec
