#include "text/json_tokenizer.hpp"

#include <algorithm>
#include <set>

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "text/special_tokens.hpp"
#include "text/text_input.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> read_files(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "tokenizer_config.json",
                           "special_tokens_map.json", "added_tokens.json"})
    if (file_exists(folder / name)) files[name] = read_file(folder / name);
  return files;
}

// The tokens that are looked for in normalized text, with contents as they are there.
std::vector<AddedToken> normalized_tokens(const std::vector<AddedToken>& tokens, const Normalizer& normalizer,
                                          const std::string& where) {
  std::vector<AddedToken> result;
  std::set<std::string> contents;
  for (AddedToken token : tokens) {
    if (!token.normalized) continue;
    const std::string written = token.content;
    token.content = normalizer.apply(written);
    if (token.content.empty()) fail("{}: token {} is empty when normalized", where, shown(written));
    if (!contents.insert(token.content).second)
      fail("{}: token {} is the same as another when normalized", where, shown(written));
    result.push_back(std::move(token));
  }
  return result;
}

}  // namespace

JsonTokenizer::JsonTokenizer(const fs::path& folder)
    : files_(read_files(folder)),
      where_((folder / "tokenizer.json").string()),
      json_(parse_tokenizer_json(files_.at("tokenizer.json"), where_)) {
  const Bpe& model = json_.model;
  const SpecialTokens special =
      read_special_tokens(folder, {.id_of = [&](const std::string& content) { return model.id_of(content); },
                                   .tokens = static_cast<int64_t>(model.tokens()),
                                   .added = json_.added,
                                   .normalizes = true});
  std::vector<AddedToken> raw;
  size_ = model.size();
  for (const AddedToken& token : special.added) {
    if (!token.normalized) raw.push_back(token);
    size_ = std::max(size_, token.id + 1);
  }
  raw_ = AddedTokens(std::move(raw));
  normalized_ = AddedTokens(normalized_tokens(special.added, json_.normalizer, where_));

  if (json_.around) frame_ = *json_.around;
  check_template();
  const auto named = [&](std::optional<int64_t> id) -> std::optional<TemplateToken> {
    for (const AddedToken& token : special.added)
      if (id == token.id) return TemplateToken{token.content, token.id};
    return std::nullopt;
  };
  if (!frame_.before) frame_.before = named(special.bos);
  if (!frame_.after) frame_.after = named(special.eos);
}

void JsonTokenizer::check_template() const {
  for (const auto& token : {frame_.before, frame_.after}) {
    if (!token) continue;
    const auto added = std::find_if(json_.added.begin(), json_.added.end(),
                                    [&](const AddedToken& a) { return a.content == token->content; });
    const auto id = added != json_.added.end() ? added->id : json_.model.id_of(token->content);
    if (id != token->id)
      fail("{}: 'post_processor': token {}: expected the id that the vocabulary has for it, got {}", where_,
           shown(token->content), token->id);
  }
}

std::vector<int64_t> JsonTokenizer::ids(std::string_view text) const {
  return at_boundary("Tokenizer::ids", [&] {
    check_text(text);
    std::vector<int64_t> ids;
    Pieces pieces;
    std::string normal;
    const auto on_token = [&](const AddedToken& token) { ids.push_back(token.id); };
    raw_.split(
        text,
        [&](std::string_view stretch) {
          bool at_origin = stretch.data() == text.data();
          if (!json_.normalizer.identity()) {
            normal = stretch;
            json_.normalizer.apply(normal, at_origin);
            stretch = normal;
          }
          normalized_.split(
              stretch,
              [&](std::string_view part) {
                pieces.assign(part, at_origin && part.data() == stretch.data());
                json_.pre_tokenizer.split(pieces);
                for (size_t i = 0; i < pieces.size(); ++i) json_.model.append_ids(pieces[i], ids);
              },
              on_token);
        },
        on_token);
    return ids;
  });
}

bool JsonTokenizer::is_special(int64_t id) const {
  const AddedToken* token = raw_.find(id);
  if (token == nullptr) token = normalized_.find(id);
  return token != nullptr && token->special;
}

void JsonTokenizer::save(const SequenceRule& rule, const fs::path& folder) const {
  const auto required = [](const std::optional<TemplateToken>& token, std::string_view what) {
    if (!token) reject("save_tokenizer: the rule asks for {}, which the tokenizer does not have", what);
    return token;
  };
  const bool kept = rule.eos == EndOfText::kept;
  Template around;
  if (rule.bos) around.before = required(frame_.before, "BOS");
  if (kept) around.after = required(frame_.after, "EOS");

  auto files = files_;
  if (around != json_.around.value_or(Template{}))
    files["tokenizer.json"] = with_template(files["tokenizer.json"], around, where_);
  const std::string& config_text = files["tokenizer_config.json"];
  Json config = config_text.empty() ? Json::object() : parse_json(config_text, "tokenizer_config.json");
  config["add_bos_token"] = rule.bos;
  config["add_eos_token"] = kept;
  config["model_max_length"] = rule.max_length;
  // Others pad batches, and refuse to without a token for it; any does, since padding is masked out.
  const auto map = files.find("special_tokens_map.json");
  const bool padded =
      map != files.end() && JsonObject(parse_json(map->second, map->first), map->first).has("pad_token");
  if (!padded && config.value("pad_token", Json()).is_null() && frame_.after)
    config["pad_token"] = frame_.after->content;
  // The class that takes tokenizer.json as it is; others rebuild parts of it.
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  config.erase("auto_map");
  files.erase("tokenizer_config.json");
  for (const auto& [name, bytes] : files) write_file(folder / name, bytes);
  write_json(folder / "tokenizer_config.json", OrderedJson(config));
}

}  // namespace decovec
