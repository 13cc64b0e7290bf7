// Which tokens a model folder adds to a vocabulary, and which of them are special.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/json.hpp"
#include "text/added_tokens.hpp"
#include "text/sentencepiece_model.hpp"

namespace decovec {

struct SpecialTokens {
  std::vector<AddedToken> added;
  std::optional<int64_t> bos, eos;  ///< where the folder names them
};

/// What tokens are added to.
struct BaseVocabulary {
  std::function<std::optional<int64_t>(const std::string& content)> id_of;
  int64_t tokens = 0;             ///< how many it has: the first id of what is added
  std::vector<AddedToken> added;  ///< those that it brings along
  bool normalizes = false;        ///< whether tokens can be looked for in normalized text
};

/// The control, unknown and user-defined pieces of a sentencepiece model.
SpecialTokens special_tokens_of(const SentencePieceModel& model);
/// A sentencepiece model's pieces, and those of them as added tokens. Refers to the model.
BaseVocabulary base_vocabulary(const SentencePieceModel& model);

/// Checks tokens one after another as the tokenizers library adds them: a content that has no id yet gets the
/// next one. Throws std::runtime_error for other ids, for empty contents, and for properties that the base
/// does not have.
class AddedTokenList {
 public:
  explicit AddedTokenList(BaseVocabulary base);

  void add(AddedToken token, const std::string& where);
  /// Makes a token special that has an id already, as what a folder names under `key`; returns the id.
  int64_t name(const std::string& content, const std::string& key, const std::string& where);
  /// The added token of a content, or null.
  const AddedToken* find(const std::string& content) const;
  std::vector<AddedToken> tokens() const;

 private:
  std::optional<int64_t> id_of(const std::string& content) const;

  BaseVocabulary base_;
  std::map<std::string, AddedToken> tokens_;  // by content
  int64_t next_ = 0;
};

/// The base's added tokens, and what tokenizer_config.json, added_tokens.json and special_tokens_map.json of
/// a folder add to them or say of them: a later word counts, as in transformers. Throws std::runtime_error
/// for tokens that contradict each other or the base.
SpecialTokens read_special_tokens(const std::filesystem::path& folder, BaseVocabulary base);

/// A token as these files write it: an object with content and flags. `normalized` is !special by default.
AddedToken read_added_token(const JsonObject& object);

}  // namespace decovec
