#include <gtest/gtest.h>

#include "decovec/text/tokenizer.hpp"
#include "text/fixture.hpp"

namespace decovec {
namespace {

// The rule of a folder that holds these files (none where null).
SequenceRule rule_of(const Json& config, const Json& processor, const Json& truncation = nullptr) {
  const TemporaryFolder folder;
  if (!config.is_null()) put(folder / "tokenizer_config.json", config.dump());
  if (!processor.is_null())
    put(folder / "tokenizer.json", Json{{"post_processor", processor}, {"truncation", truncation}}.dump());
  return read_sequence_rule(folder.path(), {.max_length = 99});
}

// A TemplateProcessing of these parts: "A" is the text, the others are tokens.
Json template_of(const std::vector<std::string>& parts) {
  Json single = Json::array(), tokens = Json::object();
  for (const std::string& part : parts) {
    single.push_back({{part == "A" ? "Sequence" : "SpecialToken", {{"id", part}, {"type_id", 0}}}});
    if (part != "A") tokens[part] = {{"id", part}, {"ids", {tokens.size()}}, {"tokens", {part}}};
  }
  return {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", tokens}};
}

std::string shown_rule(const SequenceRule& rule) {
  return std::string(rule.bos ? "<" : "") + "A" + (rule.eos == EndOfText::kept ? ">" : "");
}

TEST(SequenceRuleOfAFolder, FollowsTheTemplateWhereNoFlagStands) {
  EXPECT_EQ(shown_rule(rule_of(Json::object(), template_of({"<s>", "A", "</s>"}))), "<A>");
  EXPECT_EQ(rule_of(Json::object(), template_of({"A"})).max_length, 99);
  EXPECT_EQ(shown_rule(rule_of(nullptr, template_of({"A", "</s>"}))), "A>");
  EXPECT_EQ(shown_rule(rule_of(Json::object(), template_of({"A"}))), "A");
  EXPECT_EQ(shown_rule(rule_of(Json::object(), {{"type", "ByteLevel"}})), "A");
  // Llama-3's.
  EXPECT_EQ(shown_rule(rule_of(Json::object(),
                               {{"type", "Sequence"},
                                {"processors", {{{"type", "ByteLevel"}}, template_of({"<s>", "A"})}}})),
            "<A");
}

TEST(SequenceRuleOfAFolder, AFlagCountsForItsOwnEnd) {
  const auto rule = [](const Json& config, const std::vector<std::string>& parts) {
    return shown_rule(rule_of(config, template_of(parts)));
  };
  // e5-mistral: the template has no EOS, the flags that it was trained with do.
  EXPECT_EQ(rule({{"tokenizer_class", "LlamaTokenizer"}, {"add_bos_token", true}, {"add_eos_token", true}},
                 {"<s>", "A"}),
            "<A>");
  EXPECT_EQ(rule({{"add_eos_token", true}}, {"<s>", "A"}), "<A>");
  // Qwen3-Embedding: no BOS by its flag, EOS by its template.
  EXPECT_EQ(rule({{"tokenizer_class", "Qwen2Tokenizer"}, {"add_bos_token", false}}, {"A", "</s>"}), "A>");
  // gte-Qwen2: a tokenizer of its own code adds EOS by the flag.
  EXPECT_EQ(
      rule({{"tokenizer_class", "Qwen2Tokenizer"}, {"add_eos_token", true}, {"auto_map", Json::object()}},
           {"A"}),
      "A>");
  // A class that rebuilds its template takes a token away, another class does not look at the flag.
  EXPECT_EQ(rule({{"tokenizer_class", "LlamaTokenizerFast"}, {"add_bos_token", false}}, {"<s>", "A", "</s>"}),
            "A>");
  EXPECT_EQ(rule({{"tokenizer_class", "GemmaTokenizer"}, {"add_eos_token", false}}, {"<s>", "A", "</s>"}),
            "<A");
  EXPECT_EQ(rule({{"tokenizer_class", "PreTrainedTokenizerFast"},
                  {"add_bos_token", false},
                  {"add_eos_token", false}},
                 {"<s>", "A", "</s>"}),
            "<A>");
}

TEST(SequenceRuleOfAFolder, TakesTheFilesTruncationWhereNoLengthStands) {
  const Json truncation = {
      {"direction", "Right"}, {"max_length", 64}, {"strategy", "LongestFirst"}, {"stride", 0}};
  EXPECT_EQ(rule_of(nullptr, template_of({"A"}), truncation).max_length, 64);
  EXPECT_EQ(rule_of({{"model_max_length", 32}}, template_of({"A"}), truncation).max_length, 32);
  EXPECT_TRUE(has(message_of([] { rule_of({{"truncation_side", "left"}}, nullptr); }), "'truncation_side'"));
}

TEST(SequenceRuleOfAFolder, OtherTemplatesRefuse) {
  const auto error = [](const Json& processor) {
    return message_of([&] { rule_of(Json::object(), processor); });
  };
  for (const std::vector<std::string>& parts :
       {std::vector<std::string>{"<s>", "<t>", "A"}, {"A", "<s>", "<t>"}, {"<s>"}, {}, {"A", "A"}})
    EXPECT_TRUE(has(error(template_of(parts)), "at most one token before and one after it"));
  Json none = template_of({"A"});
  none["single"] = 7;
  EXPECT_TRUE(has(error(none), "'single': expected the text $A"));
  Json two = template_of({"<s>", "A"});
  two["special_tokens"]["<s>"]["ids"] = {1, 2};
  EXPECT_TRUE(has(error(two), "expected one of 'ids'"));
  two["special_tokens"].erase("<s>");
  EXPECT_TRUE(has(error(two), "'<s>' is missing"));
  EXPECT_TRUE(
      has(error({{"type", "RobertaProcessing"}}), "expected TemplateProcessing, ByteLevel or Sequence"));
  EXPECT_TRUE(has(error({{"type", "Sequence"}, {"processors", {template_of({"A"}), template_of({"A"})}}}),
                  "expected one TemplateProcessing at most"));
}

}  // namespace
}  // namespace decovec
