// Embedders whose folders say less than is needed to use them: what their own code or model card adds.
#pragma once
#include <filesystem>
#include <optional>
#include <string_view>

#include "io/json.hpp"
#include "model/folder_facts.hpp"

namespace decovec {

/// How an embedder is recognised, and what it was trained with.
struct KnownEmbedder {
  std::string_view name;  ///< as people call it

  // Its mark: a file of the folder; or config.json's model_type and, where `module` is not empty, the Python
  // module that auto_map names.
  std::string_view file = "", model_type = "", module = "";

  Attention attention;

  // The rest holds where the folder has no modules.json, which would say it.
  std::optional<Pooling> pooling = std::nullopt;  ///< none: the caller must say
  InstructionPooling instruction = InstructionPooling::pooled;
  bool normalise = true;
  std::optional<int64_t> max_length = std::nullopt;  ///< of the embedder's own code; none: the folder says
  const char* every_prompt = "";                     ///< what texts without another prompt begin with
  /// Where one model of the name differs from another, by what their folders say; may be null.
  void (*refine)(const std::filesystem::path& folder, const JsonObject& config, const LoadOptions& options,
                 FolderFacts& facts, KnownEmbedder& known) = nullptr;
};

/// The embedder that a folder with this config.json is of, or null.
const KnownEmbedder* find_known_embedder(const std::filesystem::path& folder, const JsonObject& config);

/// Its mask; none for null.
inline std::optional<Attention> attention_of(const KnownEmbedder* known) {
  return known == nullptr ? std::nullopt : std::optional(known->attention);
}

/// Applies what holds without modules.json to the facts of a folder; returns the maximal length, if the
/// embedder has one of its own. `folder` is where its own files lie. Throws std::runtime_error for what the
/// folder says and decovec does not have.
std::optional<int64_t> apply_known(KnownEmbedder known, const std::filesystem::path& folder,
                                   const JsonObject& config, const LoadOptions& options, FolderFacts& facts);

}  // namespace decovec
