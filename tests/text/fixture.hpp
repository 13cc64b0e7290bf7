// The stored tokenizer, and what others make of texts with it.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "io/json.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {

inline std::filesystem::path fixture_folder() { return test_data() / "tokenizer"; }
inline std::string fixture_model() { return bytes_of(fixture_folder() / "tokenizer.model"); }
inline Json reference(const std::string& name) {
  return read_json(test_data() / "tokenizer_reference" / name);
}

/// A folder with the fixture's tokenizer.model, and a tokenizer_config.json where one is given.
struct TokenizerFolder : TemporaryFolder {
  explicit TokenizerFolder(const Json& config = nullptr) {
    put(*this / "tokenizer.model", fixture_model());
    if (!config.is_null()) put(*this / "tokenizer_config.json", config.dump());
  }
};

/// tokenizer_config.json with the reference's added tokens.
inline Json config_with_added_tokens() {
  Json decoder = Json::object();
  for (const Json& token : reference("added_tokens.json")) {
    Json entry = token;
    entry.erase("id");
    entry["normalized"] = false;
    decoder[std::to_string(token["id"].get<int64_t>())] = entry;
  }
  return {{"added_tokens_decoder", decoder}};
}

}  // namespace decovec
