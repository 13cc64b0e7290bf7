#include "train/step_batch.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

/// As many ids as the whole string has bytes, cut at ten.
TokenSequence by_length(std::string_view instruction, std::string_view text) {
  TokenSequence sequence;
  const size_t length = instruction.size() + text.size();
  sequence.ids.assign(std::min<size_t>(length, 10), static_cast<int64_t>(length));
  sequence.truncated = length > 10;
  return sequence;
}

const Dataset definitions{"definitions",
                          {{"whale", {"sea mammal", "large swimmer"}, {"fish", "boat", "fin"}},
                           {"cat", {"purring pet"}, {"sea mammal"}}}};
const Dataset labels{"labels", {{"a dog", {"animal"}, {"plant", "act"}}}};
const std::vector<TrainingSet> sets = {{&definitions, "Q: ", "", true}, {&labels, "", "D: ", false}};
const std::vector<BatchRow> rows = {
    {.dataset = 0, .example = 0, .positive = 1, .negatives = {2, 0}},
    {.dataset = 1, .example = 0, .positive = 0, .negatives = {1}},
    {.dataset = 0, .example = 1, .positive = 0, .negatives = {0}},
};

TEST(StepBatch, QueriesComeFirstThenEachRowsPositiveAndNegatives) {
  const StepBatch batch = assemble(sets, rows, {0, 3}, by_length);
  std::vector<int64_t> lengths;
  for (const TokenSequence& sequence : batch.sequences) lengths.push_back(sequence.ids[0]);
  EXPECT_EQ(lengths, (std::vector<int64_t>{8, 5, 6, 13, 3, 4, 9, 6, 11, 10}));
  EXPECT_EQ(batch.row_of, (std::vector<int64_t>{0, 1, 2, 0, 0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(batch.tokens, 8 + 5 + 6 + 10 + 3 + 4 + 9 + 6 + 10 + 10);
  EXPECT_EQ(batch.truncated, 2);
}

TEST(StepBatch, RelationFollowsTheSetsPolicies) {
  const Relation relation = assemble(sets, rows, {0, 3}, by_length).relation;
  const RelationFacts& facts = relation.facts();
  EXPECT_EQ(facts.owner, (std::vector<int64_t>{0, 0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(facts.pool, (std::vector<int32_t>{0, -1, 0}));
  EXPECT_EQ(facts.set, (std::vector<int32_t>{0, 1, 0}));
  // The whale's other positive, "sea mammal", is the cat's hard negative: no negative to the whale.
  const at::Tensor expected =
      at::tensor({1, -2, -2, 0, 0, -1, 0, 0, 0, 0, 1, -2, 0, 0, -1, -1, -1, 0, 0, 1, -2}).view({3, 7});
  EXPECT_TRUE(relation.labels(0, 3).to(at::kLong).equal(expected.to(at::kLong))) << relation.labels(0, 3);
  EXPECT_EQ(relation.masked(0, 3), 1);
}

TEST(StepBatch, RowsOfOneQueryShareTheirAnswers) {
  const Dataset asked_twice{"asked", {{"whale", {"sea mammal"}, {}}, {"whale", {"large swimmer"}, {}}}};
  const StepBatch batch =
      assemble({{&asked_twice, "", "", true}}, {{}, {.example = 1, .negatives = {}}}, {0, 2}, by_length);
  EXPECT_TRUE(batch.relation.labels(0, 2).to(at::kLong).equal(at::eye(2, at::kLong)));
  EXPECT_EQ(batch.relation.masked(0, 2), 2);
}

TEST(StepBatch, ScoresGoWithTheirTexts) {
  const Dataset taught{"taught",
                       {{"whale", {"sea mammal", "swimmer"}, {"fish", "boat"}, {0.9, 0.8}, {0.3, 0.1}}}};
  const std::vector<BatchRow> drawn = {{.positive = 1, .negatives = {1, 0}},
                                       {.dataset = 1, .negatives = {1}}};
  const std::vector<double> scores =
      assemble({{&taught, "", "", true}, {&labels, "", "", true}}, drawn, {0, 2}, by_length)
          .relation.facts()
          .score;
  ASSERT_EQ(scores.size(), 5u);
  EXPECT_EQ(std::vector<double>(scores.begin(), scores.begin() + 3), (std::vector<double>{0.8, 0.1, 0.3}));
  EXPECT_TRUE(std::isnan(scores[3]) && std::isnan(scores[4]));
}

TEST(StepBatch, TextsAreToldApartByInstructionAndTextTogether) {
  EXPECT_EQ(text_hash("ab", "c"), text_hash("", "abc"));
  EXPECT_NE(text_hash("", "abc"), text_hash("", "abd"));
  EXPECT_NE(text_hash("", ""), text_hash("", std::string_view("\0", 1)));
  const StepBatch batch = assemble(sets, rows, {0, 3}, by_length);
  EXPECT_EQ(batch.relation.facts().text[3], text_hash("D: ", "animal"));
  EXPECT_EQ(batch.relation.facts().text[6], text_hash("", "sea mammal"));
}

TEST(StepBatch, ATextOfWhichNothingIsPooledIsNamed) {
  // The instruction is not pooled, and ten bytes are all there is room for.
  const auto without_instruction = [](std::string_view instruction, std::string_view text) {
    TokenSequence sequence = by_length(instruction, text);
    sequence.pool_begin = std::min<int64_t>(static_cast<int64_t>(instruction.size()), 10);
    return sequence;
  };
  const std::vector<BatchRow> one = {{.dataset = 0, .example = 1, .negatives = {}}};
  EXPECT_EQ(assemble({{&definitions, "ask it: ", "", true}}, one, {0, 1}, without_instruction).tokens, 20);
  EXPECT_EQ(
      message_of([&] {
        assemble({{&definitions, "question: ", "", true}}, one, {0, 1}, without_instruction);
      }),
      "train: data set 'definitions', example 2: text \"cat\": none of its tokens is pooled, so it cannot be "
      "learned; its prompt leaves it no room: shorten the prompt or raise max_length");
  const Dataset empty{"empty", {{"a", {""}, {}}}};
  EXPECT_EQ(
      message_of([&] {
        assemble({{&empty, "", "D: ", true}}, {{}}, {0, 1}, without_instruction);
      }),
      "train: data set 'empty', example 1: text \"\": none of its tokens is pooled, so it cannot be learned; "
      "remove the example, or give it a text");
}

TEST(StepBatch, RanksShareTheRelationAndDivideTheTexts) {
  const StepBatch whole = assemble(sets, rows, {0, 3}, by_length);
  int64_t queries = 0, tokens = 0, texts = 0;
  for (int rank = 0; rank < 2; ++rank) {
    const StepBatch part = assemble(sets, rows, rows_of_rank(3, rank, 2), by_length);
    EXPECT_EQ(part.relation.facts().text, whole.relation.facts().text);
    EXPECT_EQ(part.own.begin, queries);
    queries += part.own.size();
    tokens += part.tokens;
    texts += static_cast<int64_t>(part.sequences.size());
  }
  EXPECT_EQ(queries, 3);
  EXPECT_EQ(tokens, whole.tokens);
  EXPECT_EQ(texts, 10);
}

}  // namespace
}  // namespace decovec
