#include "text/tokenizer_folder.hpp"

#include <string>
#include <utility>
#include <vector>

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "text/bpe_merges.hpp"
#include "text/post_processor.hpp"

namespace decovec {
namespace {

constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581, sentencepiece's space

std::string_view name(SentencePieceModel::Kind kind) {
  using Kind = SentencePieceModel::Kind;
  switch (kind) {
    case Kind::unigram:
      return "unigram";
    case Kind::bpe:
      return "bpe";
    case Kind::word:
      return "word";
    case Kind::character:
      return "char";
  }
  return "unknown";
}

// Refuses a model that tokenizer.json would tokenize differently, by sentencepiece's name of the setting.
void check_expressible(const SentencePieceModel& model) {
  const auto expect = [](bool right, std::string_view setting, const auto& expected, const auto& got) {
    if (!right)
      fail("save_tokenizer: the model's {}: expected {}, got {}; train the tokenizer so for a tokenizer.json",
           setting, expected, got);
  };
  expect(model.kind == SentencePieceModel::Kind::bpe, "model_type", "bpe", name(model.kind));
  expect(model.byte_fallback, "byte_fallback", true, model.byte_fallback);
  const std::string& rule = model.normalization_rule_name;
  expect(rule.empty() || rule == "identity", "normalization_rule_name", "identity", shown(rule));
  expect(!model.has_normalization_rules, "precompiled_charsmap", "none", "rules");
  expect(model.add_dummy_prefix, "add_dummy_prefix", true, model.add_dummy_prefix);
  expect(!model.remove_extra_whitespaces, "remove_extra_whitespaces", false, model.remove_extra_whitespaces);
  expect(model.escape_whitespaces, "escape_whitespaces", true, model.escape_whitespaces);
  expect(!model.treat_whitespace_as_suffix, "treat_whitespace_as_suffix", false,
         model.treat_whitespace_as_suffix);
  for (const auto& piece : model.pieces) {
    expect(piece.type != SentencePieceModel::PieceType::unused, "vocabulary", "no unused piece",
           shown(piece.text));
    expect(piece.type != SentencePieceModel::PieceType::user_defined ||
               piece.text.find(kSpace) == std::string::npos,
           "user_defined_symbols", "symbols without a space", shown(piece.text));
  }
}

Template template_of(const SentencePieceTokenizer& tokenizer, const SequenceRule& rule) {
  const auto token = [&](std::optional<int64_t> id, std::string_view what) {
    const AddedToken* found = id ? tokenizer.added_tokens().find(*id) : nullptr;
    if (found == nullptr)
      reject("save_tokenizer: the rule asks for {}, which the tokenizer does not have", what);
    return TemplateToken{found->content, found->id};
  };
  Template result;
  if (rule.bos) result.before = token(tokenizer.bos(), "BOS");
  if (rule.eos == EndOfText::kept) result.after = token(tokenizer.eos(), "EOS");
  return result;
}

OrderedJson bpe(const SentencePieceModel& model) {
  std::vector<std::pair<std::string, int64_t>> ids;
  std::string unknown;
  for (const auto& piece : model.pieces) {
    ids.emplace_back(piece.text, static_cast<int64_t>(ids.size()));
    if (piece.type == SentencePieceModel::PieceType::unknown) unknown = piece.text;
  }
  OrderedJson merges = OrderedJson::array();
  for (const auto& [left, right] : bpe_merges(model)) merges.push_back(left + " " + right);
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unknown},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", true},
          {"byte_fallback", true},
          {"ignore_merges", false},
          // From iterators: key by key, an ordered object looks each key up among all before it.
          {"vocab", OrderedJson::object_t(ids.begin(), ids.end())},
          {"merges", std::move(merges)}};
}

OrderedJson flags(const AddedToken& token) {
  return {{"content", token.content}, {"single_word", token.single_word},
          {"lstrip", token.lstrip},   {"rstrip", token.rstrip},
          {"normalized", false},      {"special", token.special}};
}

OrderedJson tokenizer_json(const SentencePieceTokenizer& tokenizer, const Template& around) {
  OrderedJson added = OrderedJson::array();
  for (const AddedToken& token : tokenizer.added_tokens().by_id()) {
    OrderedJson entry = {{"id", token.id}};
    entry.update(flags(token));
    added.push_back(std::move(entry));
  }
  const auto replace = [](std::string_view from, std::string_view to) -> OrderedJson {
    return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
  };
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", std::move(added)},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers",
             OrderedJson::array({{{"type", "Prepend"}, {"prepend", kSpace}}, replace(" ", kSpace)})}}},
          {"pre_tokenizer", nullptr},
          {"post_processor", template_processing(around)},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             OrderedJson::array({replace(kSpace, " "),
                                 {{"type", "ByteFallback"}},
                                 {{"type", "Fuse"}},
                                 {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}})}}},
          {"model", bpe(tokenizer.model())}};
}

// The names of special tokens: {"bos_token": "<s>", ...}. Padding is masked out everywhere, so any token
// does.
OrderedJson special_tokens_map(const SentencePieceTokenizer& tokenizer) {
  const AddedTokens& added = tokenizer.added_tokens();
  OrderedJson map = OrderedJson::object(), others = OrderedJson::array();
  const AddedToken* bos = tokenizer.bos() ? added.find(*tokenizer.bos()) : nullptr;
  const AddedToken* eos = tokenizer.eos() ? added.find(*tokenizer.eos()) : nullptr;
  const AddedToken* unknown = nullptr;
  for (size_t id = 0; id < tokenizer.model().pieces.size(); ++id)
    if (tokenizer.model().pieces[id].type == SentencePieceModel::PieceType::unknown)
      unknown = added.find(static_cast<int64_t>(id));
  if (bos) map["bos_token"] = bos->content;
  if (eos) map["eos_token"] = eos->content;
  map["unk_token"] = unknown->content;
  map["pad_token"] = (eos ? eos : unknown)->content;
  for (const AddedToken& token : added.by_id())
    if (token.special && &token != bos && &token != eos && &token != unknown) others.push_back(token.content);
  if (!others.empty()) map["additional_special_tokens"] = std::move(others);
  return map;
}

OrderedJson tokenizer_config(const SentencePieceTokenizer& tokenizer, const SequenceRule& rule,
                             const OrderedJson& special) {
  OrderedJson decoder = OrderedJson::object();
  for (const AddedToken& token : tokenizer.added_tokens().by_id())
    decoder[std::to_string(token.id)] = flags(token);
  OrderedJson config = {{"add_bos_token", rule.bos},
                        {"add_eos_token", rule.eos == EndOfText::kept},
                        {"added_tokens_decoder", std::move(decoder)},
                        {"clean_up_tokenization_spaces", false},
                        {"legacy", true},
                        {"model_max_length", rule.max_length},
                        {"padding_side", "right"},
                        // The class that takes tokenizer.json as it is; LlamaTokenizer rebuilds parts of it.
                        {"tokenizer_class", "PreTrainedTokenizerFast"}};
  config.update(special);
  return config;
}

}  // namespace

void write_tokenizer_folder(const SentencePieceTokenizer& tokenizer, const SequenceRule& rule,
                            const std::filesystem::path& folder) {
  check_expressible(tokenizer.model());
  const OrderedJson json = tokenizer_json(tokenizer, template_of(tokenizer, rule));
  const OrderedJson special = special_tokens_map(tokenizer);
  write_file(folder / "tokenizer.model", tokenizer.model().bytes);
  write_json(folder / "tokenizer.json", json);
  // Keys sorted, as transformers writes them and JsonTokenizer does.
  write_json(folder / "tokenizer_config.json", OrderedJson(Json(tokenizer_config(tokenizer, rule, special))));
  write_json(folder / "special_tokens_map.json", special);
}

}  // namespace decovec
