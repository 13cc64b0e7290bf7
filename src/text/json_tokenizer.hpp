// The Tokenizer of a folder with a tokenizer.json.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "decovec/text/tokenizer.hpp"
#include "text/tokenizer_json.hpp"

namespace decovec {

class JsonTokenizer : public Tokenizer {
 public:
  /// Reads the folder's tokenizer.json, and what tokenizer_config.json, special_tokens_map.json and
  /// added_tokens.json say of its tokens. Throws std::runtime_error.
  explicit JsonTokenizer(const std::filesystem::path& folder);

  std::vector<int64_t> ids(std::string_view text) const override;
  int64_t size() const override { return size_; }
  std::optional<int64_t> bos() const override { return id_of(frame_.before); }
  std::optional<int64_t> eos() const override { return id_of(frame_.after); }
  bool is_special(int64_t id) const override;
  void save(const SequenceRule& rule, const std::filesystem::path& folder) const override;

 private:
  static std::optional<int64_t> id_of(const std::optional<TemplateToken>& token) {
    return token ? std::optional(token->id) : std::nullopt;
  }
  void check_template() const;

  std::map<std::string, std::string> files_;  // name to bytes, as they were loaded: what is saved again
  std::string where_;
  TokenizerJson json_;
  AddedTokens raw_, normalized_;  // looked for in the text as it is, and in the normalized text
  Template frame_;                // BOS and EOS: the template's where it has them, else those that are named
  int64_t size_ = 0;
};

}  // namespace decovec
