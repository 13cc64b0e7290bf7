// The parts of model folders that loading and saving share.
#pragma once
#include <algorithm>
#include <vector>

#include "decovec/model/pooling.hpp"

namespace decovec::folder {

inline constexpr const char* kConfig = "config.json";
inline constexpr const char* kModules = "modules.json";
inline constexpr const char* kPooling = "1_Pooling";
inline constexpr const char* kTransformerConfig = "sentence_bert_config.json";
inline constexpr const char* kPrompts = "config_sentence_transformers.json";
inline constexpr const char* kBackbonePrefix = "embedding_model.";
inline constexpr const char* kLatentPrefix = "latent_attention_model.";

/// Whether a model of this pooling has a latent attention's weights.
inline bool uses_latents(const std::vector<Pooling>& pooling) {
  return std::find(pooling.begin(), pooling.end(), Pooling::latent_attention) != pooling.end();
}

}  // namespace decovec::folder
