#include <gtest/gtest.h>

#include "decovec/text/tokenizer.hpp"
#include "text/fixture.hpp"

namespace decovec {
namespace {

using Ids = std::vector<int64_t>;

std::shared_ptr<const Tokenizer> load(const Json& tokenizer, const Json& config = nullptr) {
  const TemporaryFolder folder;
  put(folder / "tokenizer.json", tokenizer.dump());
  if (!config.is_null()) put(folder / "tokenizer_config.json", config.dump());
  return Tokenizer::load(folder.path());
}

std::string error_of(const Json& tokenizer) {
  return message_of([&] { load(tokenizer); });
}

// A tokenizer of the letters a and b, their pair, and an unknown token.
Json small() {
  return {{"version", "1.0"},
          {"added_tokens", Json::array()},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"vocab", {{"<unk>", 0}, {"a", 1}, {"b", 2}, {"ab", 3}, {"c", 4}}},
            {"merges", {"a b"}}}}};
}

Json token(int64_t id, const std::string& content, bool normalized = false) {
  return {{"id", id},        {"content", content}, {"single_word", false},    {"lstrip", false},
          {"rstrip", false}, {"special", true},    {"normalized", normalized}};
}

TEST(JsonTokenizer, MakesTheIdsOfTheTokenizersLibrary) {
  const Json cases = read_json(test_data() / "tokenizer_json" / "cases.json");
  ASSERT_GT(cases.size(), 40u);
  for (const Json& one : cases) {
    SCOPED_TRACE(one["name"]);
    const auto tokenizer = load(one["tokenizer"]);
    for (const Json& row : one["rows"]) {
      const auto text = row[0].get<std::string>();
      if (row[1].is_null()) {
        EXPECT_TRUE(has(message_of([&] { tokenizer->ids(text); }), "'unk_token'")) << row[0];
      } else {
        EXPECT_EQ(tokenizer->ids(text), row[1].get<Ids>()) << row[0];
      }
    }
  }
}

// The same ids from tokenizer.json as from the tokenizer.model that lies beside it.
TEST(JsonTokenizer, AgreesWithTheSentencePieceModelThatItWasSavedFrom) {
  const TokenizerFolder from(config_with_added_tokens());
  const auto pieces = Tokenizer::load(from.path());
  const TemporaryFolder saved;
  save_tokenizer(*pieces, {}, saved.path());
  const auto json = Tokenizer::load(saved.path());
  EXPECT_EQ(json->size(), pieces->size());
  EXPECT_EQ(json->bos(), pieces->bos());
  EXPECT_EQ(json->eos(), pieces->eos());
  for (const Json& row : reference("ids.json")) {
    EXPECT_EQ(json->ids(row["text"].get<std::string>()), row["added_ids"].get<Ids>()) << row["text"];
  }
}

TEST(JsonTokenizer, TakesWhatTokenizerConfigSaysOfTokens) {
  const auto plain =
      load(small(), {{"added_tokens_decoder", {{"3", {{"content", "ab"}, {"special", true}}}}}});
  EXPECT_EQ(plain->ids("cabc"), (Ids{4, 3, 4}));
  EXPECT_TRUE(plain->is_special(3));
  EXPECT_FALSE(plain->is_special(4));

  Json decoder = {{"5", token(5, "[x]")}};
  decoder["5"].erase("id");
  const auto more =
      load(small(), {{"added_tokens_decoder", decoder}, {"eos_token", "[x]"}, {"pad_token", "c"}});
  EXPECT_EQ(more->size(), 6);
  EXPECT_EQ(more->ids("a[x]"), (Ids{1, 5}));
  EXPECT_EQ(more->eos(), 5);
  EXPECT_EQ(more->bos(), std::nullopt);
  EXPECT_TRUE(more->is_special(4));

  EXPECT_TRUE(has(message_of([&] {
                    load(small(), {{"added_tokens_decoder", {{"7", {{"content", "y"}}}}}});
                  }),
                  "token \"y\" has the id 7, expected 5"));
  EXPECT_TRUE(has(message_of([&] {
                    load(small(), {{"eos_token", "</s>"}});
                  }),
                  "'eos_token' names the token \"</s>\", which has no id"));
}

TEST(JsonTokenizer, TakesTheTemplatesTokenForEos) {
  Json json = small();
  json["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {{{"Sequence", {{"id", "A"}}}}, {{"SpecialToken", {{"id", "c"}}}}}},
                            {"special_tokens", {{"c", {{"ids", {4}}, {"tokens", {"c"}}}}}}};
  EXPECT_EQ(load(json, {{"eos_token", "b"}, {"bos_token", "a"}})->eos(), 4);
  EXPECT_EQ(load(json, {{"eos_token", "b"}, {"bos_token", "a"}})->bos(), 1);
  json["post_processor"]["special_tokens"]["c"]["ids"] = {2};
  EXPECT_TRUE(has(error_of(json), "token \"c\": expected the id that the vocabulary has for it, got 2"));
}

TEST(JsonTokenizer, RefusesModelsByName) {
  const auto with = [](const std::string& key, const Json& value) {
    Json json = small();
    json["model"][key] = value;
    return error_of(json);
  };
  EXPECT_TRUE(has(with("type", "Unigram"), "'model': 'type': expected BPE"));
  EXPECT_TRUE(has(with("dropout", 0.1), "'dropout': expected none, got 0.1"));
  EXPECT_TRUE(has(with("continuing_subword_prefix", "##"), "'continuing_subword_prefix': expected none"));
  EXPECT_TRUE(has(with("end_of_word_suffix", "</w>"), "'end_of_word_suffix': expected none"));
  EXPECT_TRUE(has(with("fuse_unk", "yes"), "'fuse_unk': expected true or false"));
  EXPECT_TRUE(has(with("cache", 1), "the key 'cache' is not known"));
  EXPECT_TRUE(has(with("vocab", Json::array()), "'vocab': expected tokens with their ids, got []"));
  EXPECT_TRUE(has(with("vocab", Json::object()), "'vocab': expected tokens with their ids, got {}"));
  for (const Json& id : {Json(-1), Json(2.0), Json("1"), Json(1e30), Json(int64_t{1} << 31), Json(nullptr)})
    EXPECT_TRUE(has(with("vocab", {{"a", id}}), "token \"a\": expected an id from 0 to 2147483647")) << id;
  EXPECT_TRUE(has(with("vocab", {{"a", 1}, {"b", 1}}), "two tokens have the id 1"));
  EXPECT_TRUE(has(with("merges", nullptr), "'merges': expected a list"));
  EXPECT_TRUE(has(with("merges", {"b a"}), "\"b\" + \"a\": expected a token of the vocabulary, got \"ba\""));
  EXPECT_TRUE(has(with("merges", {"x a"}), "expected a token of the vocabulary, got \"x\""));
  for (const Json& merge :
       {Json("ab"), Json("a  b"), Json("a b c"), Json(" a"), Json(7), Json::array({"a", "b"})})
    EXPECT_TRUE(has(with("merges", {"a b", merge}), "merge 1: expected two tokens with a space")) << merge;
  for (const Json& merge : {Json("a b"), Json::array({"a"}), Json::array({"a", 1}), Json::array({"a", ""})})
    EXPECT_TRUE(has(with("merges", Json::array({Json::array({"a", "b"}), merge})),
                    "merge 1: expected a list of two tokens"))
        << merge;
  Json json = small();
  json.erase("model");
  EXPECT_TRUE(has(error_of(json), "'model' is missing"));
}

TEST(JsonTokenizer, RefusesTheRestByName) {
  const auto with = [](const std::string& key, const Json& value) {
    Json json = small();
    json[key] = value;
    return error_of(json);
  };
  EXPECT_TRUE(has(with("version", "2.0"), "'version': expected \"1.0\", got \"2.0\""));
  EXPECT_TRUE(has(with("more", 1), "the key \"more\" is not known"));
  EXPECT_TRUE(has(with("post_processor", {{"type", "BertProcessing"}}), "'post_processor': 'type'"));
  EXPECT_TRUE(has(with("truncation", {{"direction", "Left"}, {"max_length", 3}}), "expected Right"));
  EXPECT_TRUE(has(with("added_tokens", 3), "'added_tokens': expected a list"));
  EXPECT_TRUE(
      has(with("added_tokens", Json::array({{{"id", 5}, {"content", "x"}}})), "'single_word' is missing"));
  EXPECT_TRUE(has(with("added_tokens", Json::array({token(6, "x")})), "has the id 6, expected 5"));
  EXPECT_TRUE(has(with("added_tokens", Json::array({token(5, "a")})), "token \"a\" has the ids 1 and 5"));
  EXPECT_TRUE(has(with("added_tokens", Json::array({token(5, "")})), "has no content"));
  EXPECT_TRUE(has(with("added_tokens", {token(5, "x"), token(5, "x")}), "appears twice"));
  EXPECT_TRUE(has(with("added_tokens", {token(5, "x"), token(int64_t{1} << 40, "y")}), "'id'"));
  Json lower = small();
  lower["normalizer"] = {{"type", "Lowercase"}};
  lower["added_tokens"] = {token(5, "X", true), token(6, "x", true)};
  EXPECT_TRUE(has(error_of(lower), "token \"x\" is the same as another when normalized"));
  lower["normalizer"] = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}};
  lower["added_tokens"] = Json::array({token(5, " ", true)});
  EXPECT_TRUE(has(error_of(lower), "token \" \" is empty when normalized"));
}

TEST(JsonTokenizer, SurvivesCorruptFiles) {
  const Json cases = read_json(test_data() / "tokenizer_json" / "cases.json");
  const std::string whole = cases[cases.size() - 1]["tokenizer"].dump();
  uint64_t state = 1;
  const auto draw = [&](size_t end) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>((state >> 33) % end);
  };
  const TemporaryFolder folder;
  for (int round = 0; round < 600; ++round) {
    std::string corrupt = whole;
    if (round % 3 == 0) corrupt.resize(draw(corrupt.size()));
    for (size_t changes = draw(4); changes-- > 0 && !corrupt.empty();)
      corrupt[draw(corrupt.size())] = "{}[]\",:0aA \\9-"[draw(14)];
    put(folder / "tokenizer.json", corrupt);
    try {
      Tokenizer::load(folder.path())->ids("the [A] end <s> \xe5\x8c\x97 x");
    } catch (const std::runtime_error& error) {
      EXPECT_TRUE(has(error.what(), "tokenizer.json")) << error.what();
    }
  }
}

TEST(JsonTokenizer, TakesTimeInProportionToTheText) {
  Json json = small();
  // Runs of a are merged by twos, fours and so on; tokens that nearly match at each place; white space taken
  // along.
  std::string run = "a";
  json["model"]["merges"] = Json::array();
  for (int64_t id = 5; id < 12; ++id) {
    json["model"]["merges"].push_back(run + " " + run);
    run += run;
    json["model"]["vocab"][run] = id;
  }
  json["added_tokens"] = {token(12, std::string(5000, 'b') + "c"), token(13, " ")};
  json["added_tokens"][1]["lstrip"] = json["added_tokens"][1]["rstrip"] = true;
  const auto tokenizer = load(json);
  EXPECT_EQ(tokenizer->ids(std::string(1 << 20, 'a')), Ids(1 << 13, 11));
  EXPECT_EQ(tokenizer->ids(std::string(1 << 20, 'b')), Ids(1 << 20, 2));
  EXPECT_EQ(tokenizer->ids(std::string(1 << 20, ' ')), (Ids{13}));
}

TEST(JsonTokenizer, RefusesTextThatIsNotUtf8) {
  const auto tokenizer = load(small());
  for (const char* text : {"\xff", "a\xc3", "\xed\xa0\x80"})
    EXPECT_TRUE(has(message_of<std::invalid_argument>([&] { tokenizer->ids(text); }), "UTF-8"));
}

const std::set<std::string> kFiles = {"tokenizer.json", "tokenizer_config.json"};

TEST(SaveJsonTokenizer, KeepsTheFileAndItsBytes) {
  const TemporaryFolder from, to;
  const std::string bytes = fmt::format("\n{} \n", small().dump(3));
  put(from / "tokenizer.json", bytes);
  const auto tokenizer = Tokenizer::load(from.path());
  save_tokenizer(*tokenizer, {.bos = false, .max_length = 9}, to.path());
  EXPECT_EQ(to.names(), kFiles);
  EXPECT_EQ(bytes_of(to / "tokenizer.json"), bytes);
  const SequenceRule rule = read_sequence_rule(to.path());
  EXPECT_FALSE(rule.bos);
  EXPECT_EQ(rule.eos, EndOfText::none);
  EXPECT_EQ(rule.max_length, 9);
  EXPECT_TRUE(has(message_of<std::invalid_argument>([&] { save_tokenizer(*tokenizer, {}, to.path()); }),
                  "the rule asks for BOS"));
}

TEST(SaveJsonTokenizer, ChangesTheTemplateAlone) {
  for (const Json& processor :
       {Json(), Json{{"type", "ByteLevel"}, {"trim_offsets", true}},
        Json{{"type", "Sequence"}, {"processors", {{{"type", "ByteLevel"}}}}}, Json("none")}) {
    Json json = small();
    if (processor != "none") json["post_processor"] = processor;
    const TemporaryFolder from, first, second;
    put(from / "tokenizer.json", json.dump(1));
    put(from / "tokenizer_config.json", R"({"bos_token": "a", "eos_token": "b", "chat_template": "x"})");
    put(from / "special_tokens_map.json", "{ }");
    put(from / "tokenizer.model", "kept");
    const auto tokenizer = Tokenizer::load(from.path());
    const SequenceRule rule = {.bos = true, .eos = EndOfText::kept, .max_length = 9};
    save_tokenizer(*tokenizer, rule, first.path());

    Json saved = read_json(first / "tokenizer.json");
    const SequenceRule read = read_sequence_rule(first.path());
    EXPECT_TRUE(read.bos);
    EXPECT_EQ(read.eos, EndOfText::kept);
    const std::string text = bytes_of(first / "tokenizer.json");
    EXPECT_TRUE(has(text, R"("special_tokens":{"a":{"id":"a","ids":[1],"tokens":["a"]},"b")"));
    saved["post_processor"] = json["post_processor"];
    EXPECT_EQ(saved, json);
    EXPECT_EQ(bytes_of(first / "tokenizer.model"), "kept");
    EXPECT_EQ(bytes_of(first / "special_tokens_map.json"), "{ }");
    EXPECT_EQ(read_json(first / "tokenizer_config.json")["chat_template"], "x");

    const auto again = Tokenizer::load(first.path());
    EXPECT_EQ(again->ids("abc"), tokenizer->ids("abc"));
    save_tokenizer(*again, read, second.path());
    EXPECT_EQ(first.names(), second.names());
    for (const std::string& name : first.names())
      EXPECT_EQ(bytes_of(first / name), bytes_of(second / name)) << name;
  }
}

}  // namespace
}  // namespace decovec
