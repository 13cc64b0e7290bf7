#include "decovec/text/tokenizer.hpp"

#include <gtest/gtest.h>

#include "text/fixture.hpp"

namespace decovec {
namespace {

using Ids = std::vector<int64_t>;

std::string load_error(const std::filesystem::path& folder) {
  return message_of([&] { Tokenizer::load(folder); });
}

TEST(Tokenizer, MakesTheIdsOfTransformers) {
  const auto tokenizer = Tokenizer::load(fixture_folder());
  const auto bare = Tokenizer::from_sentencepiece(fixture_folder() / "tokenizer.model");
  const Json rows = reference("ids.json");
  ASSERT_GT(rows.size(), 150u);
  for (const Json& row : rows) {
    EXPECT_EQ(tokenizer->ids(row["text"].get<std::string>()), row["ids"].get<Ids>()) << row["text"];
    EXPECT_EQ(bare->ids(row["text"].get<std::string>()), row["ids"].get<Ids>()) << row["text"];
  }
}

TEST(Tokenizer, MakesTheIdsOfTransformersWithAddedTokens) {
  const TokenizerFolder folder(config_with_added_tokens());
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->size(), 805);
  for (const Json& row : reference("ids.json"))
    EXPECT_EQ(tokenizer->ids(row["text"].get<std::string>()), row["added_ids"].get<Ids>()) << row["text"];
}

TEST(Tokenizer, KnowsItsSpecialTokens) {
  const auto tokenizer = Tokenizer::load(fixture_folder());
  EXPECT_EQ(tokenizer->size(), 800);
  EXPECT_EQ(tokenizer->bos(), 1);
  EXPECT_EQ(tokenizer->eos(), 2);
  for (int64_t id = -1; id < 801; ++id) EXPECT_EQ(tokenizer->is_special(id), id >= 0 && id < 3) << id;
}

TEST(Tokenizer, TakesTheNamesThatTheFolderGives) {
  Json config = config_with_added_tokens();
  config["bos_token"] = "[Q]";
  config["eos_token"] = {{"content", "of the"}, {"normalized", true}};
  const TokenizerFolder folder(config);
  // [Q] takes white space before it along, which a mere name must not contradict.
  EXPECT_EQ(Tokenizer::load(folder.path())->bos(), 800);
  EXPECT_EQ(Tokenizer::load(folder.path())->eos(), 804);
  EXPECT_FALSE(Tokenizer::load(folder.path())->is_special(802));
}

TEST(Tokenizer, ReadsTheOlderFilesOfAddedTokens) {
  const TokenizerFolder folder(Json{{"tokenizer_class", "LlamaTokenizer"}, {"eos_token", "</s>"}});
  put(folder / "added_tokens.json", R"({"[PAD]": 800, "<s>": 1})");
  put(folder / "special_tokens_map.json", R"({"pad_token": {"content": "[PAD]"}, "bos_token": "<s>"})");
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->ids("[PAD]a"), (Ids{800, tokenizer->ids("a").front()}));
  EXPECT_TRUE(tokenizer->is_special(800));

  put(folder / "special_tokens_map.json", "{}");  // then transformers would look in the normalized text
  EXPECT_TRUE(has(load_error(folder.path()), "added_tokens.json: token \"[PAD]\" has normalized = true"));
}

// Also where it says nothing that counts.
TEST(Tokenizer, RefusesABrokenMapOfSpecialTokens) {
  for (const char* text : {"[]", "3", "{"}) {
    const TokenizerFolder folder(config_with_added_tokens());
    put(folder / "special_tokens_map.json", text);
    EXPECT_TRUE(has(load_error(folder.path()), "special_tokens_map.json: "));
  }
}

TEST(Tokenizer, RefusesTokensThatContradictOthers) {
  const auto error_of = [](const Json& decoder) {
    const TokenizerFolder folder(Json{{"added_tokens_decoder", decoder}});
    return load_error(folder.path());
  };
  const auto token = [](const char* content) { return Json{{"content", content}, {"special", true}}; };
  EXPECT_TRUE(has(error_of({{"800", token("<s>")}}), "token \"<s>\" has the ids 1 and 800"));
  EXPECT_TRUE(has(error_of({{"800", token("@@")}, {"801", token("@@")}}), "\"@@\" has the ids 800 and 801"));
  EXPECT_TRUE(has(error_of({{"5", token("@@")}}), "token \"@@\" has the id 5, expected 800"));
  EXPECT_TRUE(has(error_of({{"801", token("@@")}}), "has the id 801, expected 800"));
  EXPECT_TRUE(has(error_of({{"800", token("")}}), "has no content"));
  EXPECT_TRUE(has(error_of({{"eight", token("@@")}}), "expected ids as keys, got \"eight\""));
  EXPECT_TRUE(has(error_of({{"-1", token("@@")}}), "expected ids as keys"));
  EXPECT_TRUE(has(error_of({{"99999999999999999999", token("@@")}}), "expected ids as keys"));
  EXPECT_TRUE(has(error_of({{"800", 3}}), "expected a JSON object, got 3"));
  EXPECT_TRUE(has(error_of(Json::array()), "added_tokens_decoder"));
  EXPECT_TRUE(has(error_of({{"800", {{"content", "@@"}, {"normalized", true}}}}), "normalized = true"));
  EXPECT_TRUE(has(error_of({{"800", {{"content", "@@"}}}}), "normalized = true"));
}

TEST(Tokenizer, RefusesNamesWithoutAnId) {
  const TokenizerFolder folder(Json{{"pad_token", "[PAD]"}});
  EXPECT_TRUE(has(load_error(folder.path()), "'pad_token' names the token \"[PAD]\", which has no id"));
  const TokenizerFolder wrong(Json{{"bos_token", 7}});
  EXPECT_TRUE(has(load_error(wrong.path()), "'bos_token': expected a token, got 7"));
  const TokenizerFolder flags(Json{{"bos_token", {{"content", "<s>"}, {"lstrip", true}}}});
  EXPECT_TRUE(has(load_error(flags.path()), "has other lstrip or rstrip"));
}

TEST(Tokenizer, RefusesFoldersItCannotRead) {
  const TemporaryFolder empty;
  EXPECT_TRUE(has(load_error(empty.path()), "no tokenizer.json and no tokenizer.model"));
  put(empty / "tokenizer.json", "{}");
  EXPECT_TRUE(has(load_error(empty.path()), "tokenizer.json: 'model' is missing"));
  EXPECT_TRUE(has(message_of([&] { Tokenizer::from_sentencepiece(empty / "none.model"); }), "none.model"));
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const auto tokenizer = Tokenizer::load(fixture_folder());
  for (const char* text : {"\xff", "a\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "<s>\x80"})
    EXPECT_TRUE(has(message_of<std::invalid_argument>([&] { tokenizer->ids(text); }), "UTF-8")) << text;
}

TEST(Tokenizer, TakesLongTexts) {
  const auto tokenizer = Tokenizer::load(fixture_folder());
  // In sentencepiece's cost a letter more must not be a pass over all the others more: minutes, else.
  EXPECT_EQ(tokenizer->ids(std::string(300'000, 'a')).size(), 300'000u);
  std::string specials;
  for (int i = 0; i < 100'000; ++i) specials += "<s>";
  EXPECT_EQ(tokenizer->ids(specials), Ids(100'000, 1));
}

TEST(ReadSequenceRule, ReadsFlagsAndLength) {
  const auto rule_of = [](const Json& config) {
    const TokenizerFolder folder(config);
    return read_sequence_rule(folder.path());
  };
  for (const Json& config : {Json(nullptr), Json::object(), Json{{"model_max_length", 1e30}}}) {
    EXPECT_TRUE(rule_of(config).bos);
    EXPECT_EQ(rule_of(config).eos, EndOfText::none);
    EXPECT_EQ(rule_of(config).max_length, SequenceRule{}.max_length);
  }
  const SequenceRule rule =
      rule_of({{"add_bos_token", false}, {"add_eos_token", true}, {"model_max_length", 4096}});
  EXPECT_FALSE(rule.bos);
  EXPECT_EQ(rule.eos, EndOfText::kept);
  EXPECT_EQ(rule.max_length, 4096);
  EXPECT_EQ(rule.instruction, InstructionPooling::pooled);

  EXPECT_TRUE(has(message_of([&] { rule_of({{"add_eos_token", "yes"}}); }), "add_eos_token"));
  EXPECT_TRUE(has(message_of([&] { rule_of({{"model_max_length", 0}}); }), "model_max_length"));
  EXPECT_TRUE(has(message_of([&] { rule_of({{"model_max_length", "512"}}); }), "model_max_length"));
}

}  // namespace
}  // namespace decovec
