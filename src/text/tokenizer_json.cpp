#include "text/tokenizer_json.hpp"

#include <set>

#include "io/error.hpp"
#include "io/json_members.hpp"
#include "text/special_tokens.hpp"

namespace decovec {
namespace {

using Members = std::map<std::string, std::string_view>;

std::string place(const std::string& where, const std::string& key) { return where + ": '" + key + "'"; }

Json parse_member(const Members& members, const std::string& key, const std::string& where) {
  const auto member = members.find(key);
  return member == members.end() ? Json() : parse_json(member->second, place(where, key));
}

void check_members(const Members& members, const std::string& where) {
  static const std::set<std::string> known = {"version",        "truncation", "padding",
                                              "added_tokens",   "normalizer", "pre_tokenizer",
                                              "post_processor", "decoder",    "model"};
  for (const auto& [key, value] : members)
    if (!known.contains(key)) fail("{}: the key {} is not known", where, shown(key));
  if (const Json version = parse_member(members, "version", where); !version.is_null() && version != "1.0")
    fail("{}: 'version': expected \"1.0\", got {}", where, shown(version));
}

// The tokens with the ids that the library gives them: those of their contents in the model, or the next.
std::vector<AddedToken> read_added_tokens(const Json& json, const Bpe& model, const std::string& where) {
  AddedTokenList tokens({.id_of = [&](const std::string& content) { return model.id_of(content); },
                         .tokens = static_cast<int64_t>(model.tokens()),
                         .added = {},
                         .normalizes = true});
  if (!json.is_null() && !json.is_array()) fail("{}: expected a list, got {}", where, shown(json));
  for (const Json& entry : json) {
    const JsonObject object(entry, where);
    for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized", "special"})
      if (!object.has(flag)) fail("{}: {}: '{}' is missing", where, shown(entry), flag);
    AddedToken token = read_added_token(object);
    token.id = object.integer("id", 0, (int64_t{1} << 31) - 1);
    if (tokens.find(token.content) != nullptr)
      fail("{}: token {} appears twice", where, shown(token.content));
    tokens.add(std::move(token), where);
  }
  return tokens.tokens();
}

std::optional<int64_t> read_truncation(const Json& json, const std::string& where) {
  if (json.is_null()) return std::nullopt;
  const JsonObject truncation(json, where);
  if (const std::string side = truncation.string("direction", "Right"); side != "Right")
    fail("{}: 'direction': expected Right, the only side that decovec cuts, got {}", where, side);
  return truncation.integer("max_length", 1);
}

TokenizerJsonFrame read_frame(const Members& members, const std::string& where) {
  return {
      .around =
          read_post_processor(parse_member(members, "post_processor", where), place(where, "post_processor")),
      .max_length = read_truncation(parse_member(members, "truncation", where), place(where, "truncation"))};
}

}  // namespace

TokenizerJson parse_tokenizer_json(std::string_view text, const std::string& where) {
  const Members members = json_members(text, where);
  check_members(members, where);
  const auto object = [&](const std::string& key) -> std::optional<JsonObject> {
    Json json = parse_member(members, key, where);
    if (json.is_null()) return std::nullopt;
    return JsonObject(std::move(json), place(where, key));
  };
  const auto normalizer = object("normalizer"), pre_tokenizer = object("pre_tokenizer");
  PreTokenizer pieces = pre_tokenizer ? PreTokenizer::parse(*pre_tokenizer) : PreTokenizer();
  const auto model = object("model");
  if (!model) fail("{}: 'model' is missing, expected an object", where);
  Bpe bpe = Bpe::parse(*model, pieces.byte_level());
  std::vector<AddedToken> added =
      read_added_tokens(parse_member(members, "added_tokens", where), bpe, place(where, "added_tokens"));
  TokenizerJsonFrame frame = read_frame(members, where);
  return {.normalizer = normalizer ? Normalizer::parse(*normalizer) : Normalizer(),
          .pre_tokenizer = std::move(pieces),
          .model = std::move(bpe),
          .added = std::move(added),
          .around = std::move(frame.around)};
}

TokenizerJsonFrame parse_tokenizer_json_frame(std::string_view text, const std::string& where) {
  return read_frame(json_members(text, where), where);
}

std::string with_template(const std::string& text, const Template& tokens, const std::string& where) {
  const Members members = json_members(text, where);
  const Json before = parse_member(members, "post_processor", where);
  const std::string after = with_template(before, tokens).dump();
  const auto member = members.find("post_processor");
  if (member == members.end()) {
    const size_t brace = text.find('{') + 1;
    return text.substr(0, brace) + "\n  \"post_processor\": " + after + "," + text.substr(brace);
  }
  const size_t begin = static_cast<size_t>(member->second.data() - text.data());
  return text.substr(0, begin) + after + text.substr(begin + member->second.size());
}

}  // namespace decovec
