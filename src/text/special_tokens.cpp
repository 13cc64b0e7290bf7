#include "text/special_tokens.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <string_view>
#include <unordered_map>

#include "io/error.hpp"
#include "io/json.hpp"

namespace decovec {
namespace {

constexpr int64_t kMaxId = (int64_t{1} << 31) - 1;

// The table under construction: contents and ids are unique, and agree with the model's pieces.
class Collector {
 public:
  explicit Collector(const SentencePieceModel& model) : model_(model) {
    for (size_t id = 0; id < model.pieces.size(); ++id)
      piece_ids_[model.pieces[id].text] = static_cast<int64_t>(id);
    for (AddedToken& token : special_tokens_of(model).added) {
      const std::string content = token.content;
      tokens_[content] = std::move(token);
    }
  }

  void add(AddedToken token, const std::string& where) {
    if (token.content.empty()) fail("{}: token {} has no content", where, token.id);
    if (const auto known = id_of(token.content); known && *known != token.id)
      fail("{}: token {} has the ids {} and {}", where, shown(token.content), *known, token.id);
    if (const auto other = content_of(token.id); other && *other != token.content)
      fail("{}: id {} belongs to {} and to {}", where, token.id, shown(*other), shown(token.content));
    contents_[token.id] = token.content;
    const std::string content = token.content;
    tokens_[content] = std::move(token);
  }

  // Makes a token special that has an id already, as what a folder names under `key`.
  int64_t name(const std::string& content, const std::string& key, const std::string& where) {
    const auto id = id_of(content);
    if (!id)
      fail("{}: '{}' names the token {}, which has no id; give it one in 'added_tokens_decoder'", where, key,
           shown(content));
    AddedToken& token = tokens_.try_emplace(content, AddedToken{.content = content, .id = *id}).first->second;
    token.special = true;
    return *id;
  }

  const AddedToken* find(const std::string& content) const {
    const auto found = tokens_.find(content);
    return found == tokens_.end() ? nullptr : &found->second;
  }

  std::vector<AddedToken> finish(const std::string& where) const {
    std::vector<AddedToken> tokens;
    for (const auto& [content, token] : tokens_) tokens.push_back(token);
    int64_t next = static_cast<int64_t>(model_.pieces.size());
    for (const auto& [id, content] : contents_) {
      if (id < next) continue;
      if (id != next)
        fail("{}: token {} has the id {}, expected {}: ids have no gaps", where, shown(content), id, next);
      ++next;
    }
    return tokens;
  }

 private:
  std::optional<int64_t> id_of(const std::string& content) const {
    if (const AddedToken* token = find(content)) return token->id;
    const auto found = piece_ids_.find(content);
    return found == piece_ids_.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<std::string> content_of(int64_t id) const {
    if (id < static_cast<int64_t>(model_.pieces.size())) return model_.pieces[static_cast<size_t>(id)].text;
    const auto found = contents_.find(id);
    return found == contents_.end() ? std::nullopt : std::optional(found->second);
  }

  const SentencePieceModel& model_;
  std::unordered_map<std::string_view, int64_t> piece_ids_;
  std::map<std::string, AddedToken> tokens_;  // by content
  std::map<int64_t, std::string> contents_;   // of the tokens that files add
};

// A token written as an object. `normalized` is left to the caller.
AddedToken read_token(const JsonObject& object) {
  AddedToken token = {.content = object.string("content"),
                      .lstrip = object.boolean("lstrip", false),
                      .rstrip = object.boolean("rstrip", false),
                      .special = object.boolean("special", false)};
  if (object.boolean("single_word", false))
    fail("{}: token {} has single_word = true, which decovec does not have", object.where(),
         shown(token.content));
  return token;
}

// Special tokens are looked for in the text as it is, which is all that decovec does.
void refuse_normalized(const AddedToken& token, bool normalized, const std::string& where) {
  if (normalized)
    fail("{}: token {} has normalized = true (the default of a token that is not special), expected false",
         where, shown(token.content));
}

int64_t read_id(const std::string& key, const std::string& where) {
  int64_t id = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size() || id < 0 || id > kMaxId)
    fail("{}: expected ids as keys, got {}", where, shown(key));
  return id;
}

void read_added_tokens_decoder(const JsonObject& config, Collector& tokens) {
  const JsonObject decoder = config.object("added_tokens_decoder");
  for (const auto& [key, value] : decoder.raw().items()) {
    const JsonObject entry(value, fmt::format("{}: {}", decoder.where(), key));
    AddedToken token = read_token(entry);
    token.id = read_id(key, decoder.where());
    refuse_normalized(token, entry.boolean("normalized", !token.special), entry.where());
    tokens.add(std::move(token), entry.where());
  }
}

using Named = std::vector<std::pair<std::string, std::string>>;  // key, content

// The special tokens that a file names. Their own flags, where given, must be those that the token has.
Named read_named(const JsonObject& file, const Collector& tokens) {
  Named named;
  const auto add = [&](const std::string& key, const Json& value) {
    const std::string where = fmt::format("{}: '{}'", file.where(), key);
    if (value.is_string()) return void(named.emplace_back(key, value.get<std::string>()));
    if (!value.is_object()) fail("{}: expected a token, got {}", where, shown(value));
    const AddedToken token = read_token({value, where});
    const AddedToken* known = tokens.find(token.content);
    if (token.lstrip != (known && known->lstrip) || token.rstrip != (known && known->rstrip))
      fail("{}: token {} has other lstrip or rstrip than in 'added_tokens_decoder'", where,
           shown(token.content));
    named.emplace_back(key, token.content);
  };
  constexpr std::array kSingle = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};
  for (const std::string key : kSingle)
    if (file.has(key)) add(key, file.raw()[key]);
  for (const std::string key : {"additional_special_tokens", "extra_special_tokens"})
    if (file.has(key))
      for (const Json& value : file.raw()[key]) add(key, value);
  return named;
}

// Tokens of added_tokens.json {content: id} that tokenizer_config.json does not describe are plain special
// tokens where they are named as such; else they would be looked for in the normalized text.
void read_added_tokens_json(const std::filesystem::path& file, const Named& named, Collector& tokens) {
  const JsonObject object = JsonObject::read(file);
  for (const auto& [content, value] : object.raw().items()) {
    AddedToken token = {.content = content, .id = object.integer(content, 0, kMaxId)};
    if (const AddedToken* known = tokens.find(content); known && known->id == token.id) continue;
    const bool special =
        std::any_of(named.begin(), named.end(), [&](const auto& name) { return name.second == content; });
    refuse_normalized(token, !special, object.where());
    tokens.add(std::move(token), object.where());
  }
}

}  // namespace

SpecialTokens special_tokens_of(const SentencePieceModel& model) {
  using Type = SentencePieceModel::PieceType;
  SpecialTokens tokens;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    if (piece.type == Type::control || piece.type == Type::unknown || piece.type == Type::user_defined)
      tokens.added.push_back({.content = piece.text,
                              .id = static_cast<int64_t>(id),
                              .special = piece.type != Type::user_defined});
  }
  return tokens;
}

SpecialTokens read_special_tokens(const std::filesystem::path& folder, const SentencePieceModel& model) {
  namespace fs = std::filesystem;
  Collector tokens(model);
  Named named;
  bool described = false;
  if (const fs::path file = folder / "tokenizer_config.json"; fs::exists(file)) {
    const JsonObject config = JsonObject::read(file);
    described = config.has("added_tokens_decoder");
    if (described) read_added_tokens_decoder(config, tokens);
    named = read_named(config, tokens);
  }
  // transformers reads it only where tokenizer_config.json does not describe the tokens; so do we.
  if (const fs::path file = folder / "special_tokens_map.json"; !described && fs::exists(file)) {
    const Named more = read_named(JsonObject::read(file), tokens);
    named.insert(named.end(), more.begin(), more.end());
  }
  if (const fs::path file = folder / "added_tokens.json"; fs::exists(file))
    read_added_tokens_json(file, named, tokens);

  SpecialTokens result;
  const std::string where = folder.string();
  for (const auto& [key, content] : named) {
    const int64_t id = tokens.name(content, key, where);
    if (key == "bos_token") result.bos = id;
    if (key == "eos_token") result.eos = id;
  }
  result.added = tokens.finish(where);
  return result;
}

}  // namespace decovec
