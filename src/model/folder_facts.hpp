// What a model folder says about everything but the backbone's weights, and what the caller's options make of
// it.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "decovec/model/embedder.hpp"
#include "model/adapter_folder.hpp"

namespace decovec {

struct FolderFacts {
  FolderLayout layout = FolderLayout::plain_decoder;
  std::filesystem::path transformer;  ///< of the Transformer module; the model's own without modules
  ModelParts parts;                   ///< where config.json, weights and tokenizer lie
  ModelConfig config;
  std::vector<Pooling> pooling;           ///< empty where the folder says none
  std::optional<int64_t> pooled_columns;  ///< word_embedding_dimension of a Pooling
  LatentAttentionConfig latent_config;    ///< of NV-Embed's layout
  SequenceRule rule;
  std::vector<Head> heads = {Normalize{}};  ///< a Dense's weights lie in the mapped files
  std::map<std::string, std::string> prompts;
  std::string default_prompt;
  std::string similarity_fn = "cosine";
};

/// Reads config.json, modules.json and their kin. Throws std::runtime_error that names file and key.
FolderFacts read_folder_facts(const std::filesystem::path& folder, const LoadOptions& options);

/// Applies pooling, EOS and length of the options: the rule of a model that becomes an embedder of this
/// pooling, or changes its pooling, by the caller's word.
void apply_options(const LoadOptions& options, FolderFacts& facts);

}  // namespace decovec
