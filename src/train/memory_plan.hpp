// How much memory a stage takes, from sizes alone.
#pragma once
#include <cstdint>
#include <optional>

#include "decovec/model/model_config.hpp"
#include "decovec/model/pooling.hpp"
#include "decovec/train/memory_plan.hpp"

namespace decovec {

/// What a stage's memory depends on, beside its recipe.
struct MemoryFacts {
  ModelConfig config = {};
  std::optional<LatentAttentionConfig> latents = {};
  int64_t weights = 0;            ///< elements
  int64_t trained = 0;            ///< elements of them that are trained
  int64_t weight_bytes = 4;       ///< of an element: 2, 4 or 8
  int64_t dimensions = 0;         ///< of an embedding
  int64_t documents_a_query = 1;  ///< at most
  int64_t longest = 512;          ///< tokens of a text, at most
  int ranks = 1;
  std::optional<int64_t> available = {};  ///< see MemoryPlan
};

MemoryPlan plan_stage(const MemoryFacts& facts, const StageRecipe& stage);

}  // namespace decovec
