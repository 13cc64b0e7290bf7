#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "decovec/model/embedder.hpp"
#include "decovec/train/recipe.hpp"
#include "decovec/world/world.hpp"

namespace decovec {

/// What a stage takes at its peak on one rank, in bytes: an estimate, and what there is for it.
struct MemoryPlan {
  std::string stage;
  int64_t weights = 0;
  int64_t masters = 0;             ///< float32 values of narrower weights: this rank's share
  int64_t optimizer = 0;           ///< AdamW's moments: this rank's share
  int64_t gradients = 0;           ///< their sum over micro batches
  int64_t micro_batch = 0;         ///< a micro batch's graph, or the gradients that take its place
  int64_t embeddings = 0;          ///< of the whole batch's texts, and their gradients
  int64_t scores = 0;              ///< of one tile of the score matrix, with its graph
  int64_t micro_batch_tokens = 0;  ///< the recipe's
  /// For all of these, the weights that are there already included; empty where the system does not say.
  std::optional<int64_t> available = {};
  /// The most micro_batch_tokens that fit, or as many as the batch has; 0: none do.
  int64_t fitting_tokens = 0;

  /// Scores and gradients are never there together.
  int64_t peak() const;
  bool fits() const { return !available || peak() <= *available; }
};

/// Plans the stages of a run of `train` with this model and recipe, before it. From sizes alone: no text is
/// read, each counts as long as max_length allows, though no longer than micro_batch_tokens. All ranks call
/// it; ranks on one machine share its memory.
std::vector<MemoryPlan> plan_memory(const Embedder& model, const Recipe& recipe, World* world = nullptr);

}  // namespace decovec
