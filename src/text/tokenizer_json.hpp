// tokenizer.json, the file of the Hugging Face tokenizers library.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/added_tokens.hpp"
#include "text/bpe.hpp"
#include "text/normalizer.hpp"
#include "text/post_processor.hpp"
#include "text/pre_tokenizer.hpp"

namespace decovec {

/// What a tokenizer.json says, as far as it decides ids.
struct TokenizerJson {
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  Bpe model;
  std::vector<AddedToken> added;
  std::optional<Template> around;  ///< the tokens around a text
};

/// Reads the whole file. `where` names it. Throws std::runtime_error, by name, for all that decovec does not
/// have and that could change ids; "padding" and "decoder" cannot.
TokenizerJson parse_tokenizer_json(std::string_view text, const std::string& where);

/// What is put around a text, and how long it may be at most: the small part of the file.
struct TokenizerJsonFrame {
  std::optional<Template> around;
  std::optional<int64_t> max_length;
};
TokenizerJsonFrame parse_tokenizer_json_frame(std::string_view text, const std::string& where);

/// The file with these tokens around a text, and no other byte changed.
std::string with_template(const std::string& text, const Template& tokens, const std::string& where);

}  // namespace decovec
