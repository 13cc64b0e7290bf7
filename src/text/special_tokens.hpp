// Which tokens a model folder adds to the pieces of its sentencepiece model, and which of them are special.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "text/added_tokens.hpp"
#include "text/sentencepiece_model.hpp"

namespace decovec {

struct SpecialTokens {
  std::vector<AddedToken> added;
  std::optional<int64_t> bos, eos;  ///< where the folder names them
};

/// The control, unknown and user-defined pieces of a model.
SpecialTokens special_tokens_of(const SentencePieceModel& model);

/// Those, and what tokenizer_config.json, added_tokens.json and special_tokens_map.json add to them. Throws
/// std::runtime_error for tokens that contradict each other or the model, ids with gaps, and properties that
/// decovec does not have.
SpecialTokens read_special_tokens(const std::filesystem::path& folder, const SentencePieceModel& model);

}  // namespace decovec
