// The parts of model folders that loading and saving share.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "decovec/model/pooling.hpp"

namespace decovec::folder {

inline constexpr const char* kConfig = "config.json";
inline constexpr const char* kModules = "modules.json";
inline constexpr const char* kAdapterConfig = "adapter_config.json";
inline constexpr const char* kAdapterWeights = "adapter_model.safetensors";
inline constexpr const char* kAdapterPrefix = "base_model.model.";  ///< before the names in that file
inline constexpr const char* kPooling = "1_Pooling";
inline constexpr const char* kTransformerConfig = "sentence_bert_config.json";
inline constexpr const char* kPrompts = "config_sentence_transformers.json";
inline constexpr const char* kOwnSettings = "decovec";  // a key of kPrompts
inline constexpr const char* kLlm2Vec = "llm2vec_config.json";
inline constexpr const char* kBackbonePrefix = "embedding_model.";
inline constexpr const char* kLatentPrefix = "latent_attention_model.";

/// Whether a model of this pooling has a latent attention's weights.
inline bool uses_latents(const std::vector<Pooling>& pooling) {
  return std::find(pooling.begin(), pooling.end(), Pooling::latent_attention) != pooling.end();
}

/// What PEFT calls a parameter of a module that it has put an adapter around.
inline std::string base_layer(std::string parameter) {
  return parameter.insert(parameter.rfind('.'), ".base_layer");
}

}  // namespace decovec::folder
