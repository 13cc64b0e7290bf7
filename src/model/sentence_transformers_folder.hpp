// The files that sentence-transformers, versions 2 to 6, adds to a model folder.
#pragma once
#include <filesystem>
#include <optional>

#include "model/folder_facts.hpp"

namespace decovec {

/// Reads modules.json and the modules' own files into layout, transformer, pooling, instruction rule and
/// heads. `dense` is LoadOptions::dense. Throws std::runtime_error for a module, mode or key that decovec
/// does not know.
void read_modules(const std::filesystem::path& folder, const std::string& dense, FolderFacts& facts);

/// The folder of the Transformer module, of the folder of a modules.json.
std::filesystem::path transformer_folder(const std::filesystem::path& folder);

/// What the Transformer module's own file says; nothing where there is no such file.
struct TransformerSettings {
  std::optional<int64_t> max_length;
  std::optional<at::ScalarType> dtype;  ///< of the weights in memory
};

/// Reads sentence_bert_config.json, or its namesakes of old versions. Throws std::runtime_error for a setting
/// that changes the vectors and that decovec does not have.
TransformerSettings read_transformer_settings(const std::filesystem::path& transformer);

/// Reads config_sentence_transformers.json: prompts, default prompt, similarity, truncate_dim.
void read_model_settings(const std::filesystem::path& folder, FolderFacts& facts);

/// Writes modules.json and the modules' configs; their weights are among the model's parameters.
void write_modules(const Embedder& model, const std::filesystem::path& folder);
/// Writes the Transformer module's file and config_sentence_transformers.json.
void write_settings(const Embedder& model, const std::filesystem::path& folder);

}  // namespace decovec
