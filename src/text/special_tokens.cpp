#include "text/special_tokens.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <memory>
#include <string_view>
#include <unordered_map>

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"

namespace decovec {
namespace {

constexpr int64_t kMaxId = (int64_t{1} << 31) - 1;

int64_t read_id(const std::string& key, const std::string& where) {
  int64_t id = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc() || end != key.data() + key.size() || id < 0 || id > kMaxId)
    fail("{}: expected ids as keys, got {}", where, shown(key));
  return id;
}

void read_added_tokens_decoder(const JsonObject& config, AddedTokenList& tokens) {
  const JsonObject decoder = config.object("added_tokens_decoder");
  std::map<int64_t, AddedToken> by_id;
  for (const auto& [key, value] : decoder.raw().items()) {
    const int64_t id = read_id(key, decoder.where());
    by_id[id] = read_added_token({value, fmt::format("{}: {}", decoder.where(), key)});
    by_id[id].id = id;
  }
  for (const auto& [id, token] : by_id) tokens.add(token, decoder.where());
}

using Named = std::vector<std::pair<std::string, std::string>>;  // key, content

// The special tokens that a file names. Their own flags, where given, must be those that the token has.
Named read_named(const JsonObject& file, const AddedTokenList& tokens) {
  Named named;
  const auto add = [&](const std::string& key, const Json& value) {
    const std::string where = fmt::format("{}: '{}'", file.where(), key);
    if (value.is_string()) return void(named.emplace_back(key, value.get<std::string>()));
    if (!value.is_object()) fail("{}: expected a token, got {}", where, shown(value));
    const AddedToken token = read_added_token({value, where});
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
void read_added_tokens_json(const std::filesystem::path& file, const Named& named, AddedTokenList& tokens) {
  const JsonObject object = JsonObject::read(file);
  std::map<int64_t, AddedToken> by_id;
  for (const auto& entry : object.raw().items()) {
    const std::string& content = entry.key();
    const int64_t id = object.integer(content, 0, kMaxId);
    if (const AddedToken* known = tokens.find(content); known && known->id == id) continue;
    const bool special =
        std::any_of(named.begin(), named.end(), [&](const auto& name) { return name.second == content; });
    const auto [other, fresh] = by_id.emplace(
        id, AddedToken{.content = content, .id = id, .normalized = !special, .special = special});
    if (!fresh)
      fail("{}: tokens {} and {} have the id {}", object.where(), shown(other->second.content),
           shown(content), id);
  }
  for (const auto& [id, token] : by_id) tokens.add(token, object.where());
}

}  // namespace

AddedToken read_added_token(const JsonObject& object) {
  AddedToken token = {.content = object.string("content"),
                      .single_word = object.boolean("single_word", false),
                      .lstrip = object.boolean("lstrip", false),
                      .rstrip = object.boolean("rstrip", false),
                      .special = object.boolean("special", false)};
  token.normalized = object.boolean("normalized", !token.special);
  return token;
}

AddedTokenList::AddedTokenList(BaseVocabulary base) : base_(std::move(base)), next_(base_.tokens) {
  for (const AddedToken& token : base_.added) {
    tokens_[token.content] = token;
    next_ = std::max(next_, token.id + 1);
  }
}

void AddedTokenList::add(AddedToken token, const std::string& where) {
  if (token.content.empty()) fail("{}: token {} has no content", where, token.id);
  const auto known = id_of(token.content);
  if (known && *known != token.id)
    fail("{}: token {} has the ids {} and {}", where, shown(token.content), *known, token.id);
  if (!known && token.id != next_)
    fail("{}: token {} has the id {}, expected {}: tokens follow the vocabulary without a gap", where,
         shown(token.content), token.id, next_);
  if (token.normalized && !base_.normalizes)
    fail("{}: token {} has normalized = true (the default of a token that is not special), expected false",
         where, shown(token.content));
  next_ = std::max(next_, token.id + 1);
  const std::string content = token.content;
  tokens_[content] = std::move(token);
}

int64_t AddedTokenList::name(const std::string& content, const std::string& key, const std::string& where) {
  const auto id = id_of(content);
  if (!id)
    fail("{}: '{}' names the token {}, which has no id; give it one in 'added_tokens_decoder'", where, key,
         shown(content));
  AddedToken& token = tokens_.try_emplace(content, AddedToken{.content = content, .id = *id}).first->second;
  token.special = true;
  return *id;
}

const AddedToken* AddedTokenList::find(const std::string& content) const {
  const auto found = tokens_.find(content);
  return found == tokens_.end() ? nullptr : &found->second;
}

std::vector<AddedToken> AddedTokenList::tokens() const {
  std::vector<AddedToken> tokens;
  for (const auto& [content, token] : tokens_) tokens.push_back(token);
  return tokens;
}

std::optional<int64_t> AddedTokenList::id_of(const std::string& content) const {
  if (const AddedToken* token = find(content)) return token->id;
  return base_.id_of(content);
}

SpecialTokens special_tokens_of(const SentencePieceModel& model) {
  return {base_vocabulary(model).added, {}, {}};
}

BaseVocabulary base_vocabulary(const SentencePieceModel& model) {
  using Type = SentencePieceModel::PieceType;
  BaseVocabulary base;
  base.tokens = static_cast<int64_t>(model.pieces.size());
  auto ids = std::make_shared<std::unordered_map<std::string_view, int64_t>>();
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    (*ids)[piece.text] = static_cast<int64_t>(id);
    if (piece.type == Type::control || piece.type == Type::unknown || piece.type == Type::user_defined)
      base.added.push_back({.content = piece.text,
                            .id = static_cast<int64_t>(id),
                            .special = piece.type != Type::user_defined});
  }
  base.id_of = [ids](const std::string& content) {
    const auto found = ids->find(content);
    return found == ids->end() ? std::nullopt : std::optional(found->second);
  };
  return base;
}

SpecialTokens read_special_tokens(const std::filesystem::path& folder, BaseVocabulary base) {
  namespace fs = std::filesystem;
  AddedTokenList tokens(std::move(base));
  Named named;
  bool described = false;
  if (const fs::path file = folder / "tokenizer_config.json"; file_exists(file)) {
    const JsonObject config = JsonObject::read(file);
    described = config.has("added_tokens_decoder");
    if (described) read_added_tokens_decoder(config, tokens);
    named = read_named(config, tokens);
  }
  if (const fs::path file = folder / "special_tokens_map.json"; file_exists(file)) {
    const JsonObject map = JsonObject::read(file);
    // transformers heeds it only where tokenizer_config.json does not describe the tokens; so do we.
    const Named more = described ? Named() : read_named(map, tokens);
    named.insert(named.end(), more.begin(), more.end());
  }
  if (const fs::path file = folder / "added_tokens.json"; file_exists(file))
    read_added_tokens_json(file, named, tokens);

  SpecialTokens result;
  const std::string where = folder.string();
  for (const auto& [key, content] : named) {
    const int64_t id = tokens.name(content, key, where);
    if (key == "bos_token") result.bos = id;
    if (key == "eos_token") result.eos = id;
  }
  result.added = tokens.tokens();
  return result;
}

}  // namespace decovec
