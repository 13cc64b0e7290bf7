// The parts of model folders that loading and saving share.
#pragma once

namespace decovec::folder {

inline constexpr const char* kConfig = "config.json";
inline constexpr const char* kModules = "modules.json";
inline constexpr const char* kPooling = "1_Pooling";
inline constexpr const char* kMaxLength = "sentence_bert_config.json";
inline constexpr const char* kPrompts = "config_sentence_transformers.json";
inline constexpr const char* kBackbonePrefix = "embedding_model.";
inline constexpr const char* kLatentPrefix = "latent_attention_model.";

}  // namespace decovec::folder
