#include <gtest/gtest.h>

#include "decovec/text/tokenizer.hpp"
#include "text/fixture.hpp"

namespace decovec {
namespace {

const std::set<std::string> kFiles = {"special_tokens_map.json", "tokenizer.json", "tokenizer.model",
                                      "tokenizer_config.json"};

// Saves the fixture with other settings: `change` is appended to the file, where a later field counts.
std::string save_error(const std::string& change) {
  const TemporaryFolder from, to;
  put(from / "tokenizer.model", fixture_model() + change);
  const auto tokenizer = Tokenizer::load(from.path());  // loading takes every setting
  tokenizer->ids("the body");
  const std::string error = message_of([&] { save_tokenizer(*tokenizer, {}, to.path()); });
  EXPECT_TRUE(to.names().empty());
  return error;
}

TEST(SaveTokenizer, WritesTheJsonOfTheTokenizersLibrary) {
  const TemporaryFolder folder;
  save_tokenizer(*Tokenizer::load(fixture_folder()), {}, folder.path());
  EXPECT_EQ(folder.names(), kFiles);
  EXPECT_EQ(bytes_of(folder / "tokenizer.model"), fixture_model());

  Json ours = read_json(folder / "tokenizer.json"), theirs = reference("tokenizer.json");
  for (Json& merge : theirs["model"]["merges"])  // written as pairs there, as "left right" here
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  for (const auto& [key, value] : theirs["model"].items()) EXPECT_EQ(ours["model"][key], value) << key;
  for (const char* key :
       {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "decoder"})
    EXPECT_EQ(ours[key], theirs[key]) << key;
}

TEST(SaveTokenizer, WritesTheTemplateOfTheRule) {
  const auto tokenizer = Tokenizer::load(fixture_folder());
  const auto saved = [&](const SequenceRule& rule) {
    const TemporaryFolder folder;
    save_tokenizer(*tokenizer, rule, folder.path());
    const Json json = read_json(folder / "tokenizer.json");
    std::string single;
    for (const Json& part : json["post_processor"]["single"])
      single += part.begin().value()["id"].get<std::string>() + " ";
    const Json config = read_json(folder / "tokenizer_config.json");
    // The flags rebuild the template in transformers: they must say the same.
    EXPECT_EQ(config["add_bos_token"], single.starts_with("<s>"));
    EXPECT_EQ(config["add_eos_token"], single.ends_with("</s> "));
    EXPECT_EQ(json["post_processor"]["special_tokens"].size(),
              static_cast<size_t>(single.starts_with("<s>")) + single.ends_with("</s> "));
    return single;
  };
  EXPECT_EQ(saved({}), "<s> A ");
  EXPECT_EQ(saved({.eos = EndOfText::kept}), "<s> A </s> ");
  EXPECT_EQ(saved({.eos = EndOfText::cut}), "<s> A ");
  EXPECT_EQ(saved({.bos = false}), "A ");
  EXPECT_EQ(saved({.bos = false, .eos = EndOfText::kept}), "A </s> ");
}

TEST(SaveTokenizer, IsReadBackAndSavedTheSame) {
  const SequenceRule rule = {.bos = false, .eos = EndOfText::kept, .max_length = 77};
  const TokenizerFolder from(config_with_added_tokens());
  const auto tokenizer = Tokenizer::load(from.path());
  const TemporaryFolder first, second;
  save_tokenizer(*tokenizer, rule, first.path());

  const auto again = Tokenizer::load(first.path());
  const SequenceRule read = read_sequence_rule(first.path());
  EXPECT_EQ(read.bos, rule.bos);
  EXPECT_EQ(read.eos, rule.eos);
  EXPECT_EQ(read.max_length, rule.max_length);
  EXPECT_EQ(again->size(), tokenizer->size());
  for (int64_t id = 0; id < again->size(); ++id)
    EXPECT_EQ(again->is_special(id), tokenizer->is_special(id)) << id;
  for (const Json& row : reference("ids.json"))
    EXPECT_EQ(again->ids(row["text"].get<std::string>()), row["added_ids"].get<std::vector<int64_t>>());

  save_tokenizer(*again, read, second.path());
  for (const std::string& name : kFiles) EXPECT_EQ(bytes_of(first / name), bytes_of(second / name)) << name;
}

TEST(SaveTokenizer, RefusesSettingsThatTokenizerJsonCannotExpress) {
  // Field numbers of trainer_spec (2) and normalizer_spec (3) of sentencepiece_model.proto.
  using namespace std::string_literals;
  EXPECT_TRUE(has(save_error("\x12\x02\x18\x01"s), "model_type: expected bpe, got unigram; train"));
  EXPECT_TRUE(has(save_error("\x12\x03\xc0\x01\x01"s), "treat_whitespace_as_suffix: expected false"));
  EXPECT_TRUE(has(save_error("\x1a\x05\x0a\x03nfc"s), "normalization_rule_name: expected identity"));
  EXPECT_TRUE(has(save_error("\x1a\x02\x18\x00"s), "add_dummy_prefix: expected true"));
  EXPECT_TRUE(has(save_error("\x1a\x02\x20\x01"s), "remove_extra_whitespaces: expected false"));
  EXPECT_TRUE(has(save_error("\x1a\x02\x28\x00"s), "escape_whitespaces: expected true"));
  // More pieces (1): text (1), score (2) of 1.0, type (3).
  EXPECT_TRUE(has(save_error("\x0a\x06\x0a\x02zz\x18\x05"s), "vocabulary: expected no unused piece"));
  EXPECT_TRUE(
      has(save_error("\x0a\x09\x0a\x05\xe2\x96\x81zz\x18\x04"s), "user_defined_symbols: expected symbols"));
  EXPECT_TRUE(has(save_error("\x0a\x05\x0a\x03z\xc3\xa9"s), "has a character that is no piece"));
  EXPECT_TRUE(has(save_error("\x0a\x04\x0a\x02zz\x0a\x04\x0a\x02zx"s),
                  "pieces \"\u2581a\" and \"zz\" have the score 0"));
}

TEST(SaveTokenizer, OrdersRunsOfOneScore) {
  // As Mistral's spaces: "~" (score 0), and "~~", "~~~" of the same score -2e9 (0xceee6b28).
  const std::string score = "\x15\x28\x6b\xee\xce";
  const TemporaryFolder from, to;
  put(from / "tokenizer.model",
      fixture_model() + "\x0a\x03\x0a\x01~" + "\x0a\x0a\x0a\x03~~~" + score + "\x0a\x09\x0a\x02~~" + score);
  save_tokenizer(*Tokenizer::load(from.path()), {}, to.path());
  const Json merges = read_json(to / "tokenizer.json")["model"]["merges"];
  // By score, then both lengths, all downwards: the order of transformers' generate_merges.
  EXPECT_EQ(Json(std::vector<Json>(merges.end() - 3, merges.end())), Json::array({"~~ ~", "~ ~~", "~ ~"}));
}

TEST(SaveTokenizer, RefusesModelsWithoutByteFallback) {
  // Without its byte pieces the fixture is a model too; what else it has stays.
  const auto piece = [](std::string text, char type) {
    return std::string("\x0a") + static_cast<char>(text.size() + 4) + "\x0a" +
           static_cast<char>(text.size()) + text + "\x18" + type;
  };
  const TemporaryFolder from, to;
  put(from / "tokenizer.model", piece("<unk>", 2) + piece("<s>", 3) + piece("a", 1) +
                                    "\x12\x02\x18\x02\x1a\x02\x20" + std::string(1, '\0'));
  const auto tokenizer = Tokenizer::load(from.path());
  EXPECT_EQ(tokenizer->ids("a<s>"), (std::vector<int64_t>{0, 2, 1}));
  EXPECT_TRUE(
      has(message_of([&] { save_tokenizer(*tokenizer, {}, to.path()); }), "byte_fallback: expected true"));
  EXPECT_EQ(tokenizer->eos(), std::nullopt);
}

TEST(SaveTokenizer, RefusesARuleThatTheTokenizerCannotFollow) {
  const TemporaryFolder from, to;
  put(from / "tokenizer.model", fixture_model() +
                                    "\x12\x05\xf2\x02\x02"
                                    "no");  // trainer_spec.bos_piece (46)
  const auto tokenizer = Tokenizer::load(from.path());
  EXPECT_TRUE(has(message_of<std::invalid_argument>([&] { save_tokenizer(*tokenizer, {}, to.path()); }),
                  "the rule asks for BOS"));
  EXPECT_NO_THROW(save_tokenizer(*tokenizer, {.bos = false}, to.path()));
}

}  // namespace
}  // namespace decovec
