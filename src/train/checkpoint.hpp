// What an interrupted run needs to go on bit for bit: a folder step-N/ with the model, the optimizer's state
// and float32 masters, the sampler's positions, counters, and what the recipe was.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "decovec/data/dataset.hpp"
#include "decovec/model/embedder.hpp"
#include "decovec/train/recipe.hpp"
#include "io/json.hpp"
#include "train/optimizer.hpp"
#include "train/weights.hpp"

namespace decovec {

/// How far a run is.
struct Progress {
  int64_t stage = 0;               ///< the stage that runs, by index
  int64_t step = 0;                ///< steps of it that are done
  int64_t total_step = 0;          ///< steps of all stages that are done
  std::vector<int64_t> positions;  ///< of the stage's sampler
};

/// What a run's result depends on: seed, stages, data (their texts by a hash) and how the model reads text.
OrderedJson fingerprint(const Recipe& recipe, const std::map<std::string, Dataset>& datasets,
                        const Embedder& model);
/// The first difference, as "stage.retrieval.batch_size: the checkpoint has 128, the recipe 64"; empty where
/// there is none.
std::string difference(const Json& checkpoint, const OrderedJson& recipe, const std::string& where = "");

/// The checkpoint with the largest N in a folder, which need not exist.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& checkpoints);

/// Writes step-N whole, N = progress.total_step, then removes the other checkpoints of the folder.
void save_checkpoint(const std::filesystem::path& checkpoints, const Embedder& model, const Weights& weights,
                     const OptimizerState& optimizer, const Progress& progress,
                     const OrderedJson& fingerprint);

/// Puts weights and optimizer state back. Throws std::runtime_error for a checkpoint that is broken or of
/// another recipe or model; names the difference.
Progress load_checkpoint(const std::filesystem::path& checkpoint, const Recipe& recipe,
                         const OrderedJson& fingerprint, const Weights& weights, OptimizerState& optimizer);

}  // namespace decovec
