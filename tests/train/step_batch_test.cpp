#include "train/step_batch.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "io/temporary_folder.hpp"
#include "train/fixed_rows.hpp"

namespace decovec {
namespace {

using test::drawn, test::fixed_rows;

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
const RowSource definition_rows =
    fixed_rows("definitions", {drawn(definitions, 0, 1, {2, 0}), drawn(definitions, 1, 0, {0})});
const RowSource label_rows = fixed_rows("labels", {drawn(labels, 0, 0, {1})});
const std::vector<TrainingSet> sets = {{&definition_rows, "Q: ", "", true}, {&label_rows, "", "D: ", false}};
const std::vector<BatchRow> rows = {
    {.dataset = 0, .example = 0}, {.dataset = 1, .example = 0}, {.dataset = 0, .example = 1}};

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
  const RowSource source = retrieval_rows(asked_twice, 7);
  const StepBatch batch = assemble({{&source, "", "", true}}, {{}, {.example = 1}}, {0, 2}, by_length);
  EXPECT_TRUE(batch.relation.labels(0, 2).to(at::kLong).equal(at::eye(2, at::kLong)));
  EXPECT_EQ(batch.relation.masked(0, 2), 2);
}

TEST(StepBatch, ScoresGoWithTheirTexts) {
  const Dataset taught{"taught",
                       {{"whale", {"sea mammal", "swimmer"}, {"fish", "boat"}, {0.9, 0.8}, {0.3, 0.1}}}};
  const RowSource taught_rows = fixed_rows("taught", {drawn(taught, 0, 1, {1, 0})});
  const std::vector<double> scores = assemble({{&taught_rows, "", "", true}, {&label_rows, "", "", true}},
                                              {{}, {.dataset = 1}}, {0, 2}, by_length)
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
  const RowSource source = retrieval_rows(definitions, 0);
  const std::vector<BatchRow> one = {{.dataset = 0, .example = 1}};
  EXPECT_EQ(assemble({{&source, "ask it: ", "", true}}, one, {0, 1}, without_instruction).tokens, 20);
  EXPECT_EQ(
      message_of([&] {
        assemble({{&source, "question: ", "", true}}, one, {0, 1}, without_instruction);
      }),
      "train: data set 'definitions', example 2: text \"cat\": none of its tokens is pooled, so it cannot be "
      "learned; its prompt leaves it no room: shorten the prompt or raise max_length");
  const Dataset empty{"empty", {{"a", {""}, {}}}};
  EXPECT_EQ(
      message_of([&] {
        const RowSource rows_of_empty = retrieval_rows(empty, 0);
        assemble({{&rows_of_empty, "", "D: ", true}}, {{}}, {0, 1}, without_instruction);
      }),
      "train: data set 'empty', example 1: text \"\": none of its tokens is pooled, so it cannot be learned; "
      "remove the example, or give it a text");
}

TEST(StepBatch, NoTextOfALabelIsANegativeOfAnotherInTheBatch) {
  const Dataset topics{"topics",
                       {{"whale", {"sea"}, {}},
                        {"ship", {"sea"}, {}},
                        {"fish", {"sea"}, {}},
                        {"bird", {"sky"}, {}},
                        {"cloud", {"sky"}, {}}}};
  const std::map<std::string, std::string> label = {
      {"whale", "sea"}, {"ship", "sea"}, {"fish", "sea"}, {"bird", "sky"}, {"cloud", "sky"}};
  const RowSource source = labelled_rows(topics, 1);
  std::vector<BatchRow> all;
  for (int64_t i = 0; i < source.size; ++i)
    all.push_back({.example = i, .key = RandomKey(static_cast<uint64_t>(i))});
  const StepBatch batch = assemble({{&source, "", "", true}}, all, {0, 5}, by_length);
  std::vector<DrawnRow> drawn_rows;
  for (const BatchRow& row : all) drawn_rows.push_back(source.draw(row.example, row.key));
  const at::Tensor documents = batch.relation.labels(0, 5),
                   queries = batch.relation.labels(0, 5, Direction::query_to_query);
  for (int64_t q = 0; q < 5; ++q) {
    const std::string own = label.at(drawn_rows[static_cast<size_t>(q)].query);
    for (int64_t other = 0; other < 5; ++other) {
      const DrawnRow& row = drawn_rows[static_cast<size_t>(other)];
      EXPECT_EQ(queries[q][other].item<int8_t>(), label.at(row.query) == own ? kNothing : kInBatchNegative);
      for (int64_t d = 0; d < 2; ++d) {
        const bool right = label.at(row.documents[static_cast<size_t>(d)].text) == own;
        const int8_t expected =
            q == other ? (d == 0 ? kPositive : kCuratedNegative) : (right ? kNothing : kInBatchNegative);
        EXPECT_EQ(documents[q][2 * other + d].item<int8_t>(), expected) << q << " " << other << " " << d;
      }
    }
  }
}

TEST(StepBatch, PairsOfOneTextAreNotEachOthersNegatives) {
  const Dataset pairs{"pairs",
                      {{.query = "a", .positives = {"b"}, .negatives = {}, .positive_scores = {5}},
                       {.query = "c", .positives = {"a"}, .negatives = {}, .positive_scores = {4}},
                       {.query = "d", .positives = {"e"}, .negatives = {}, .positive_scores = {4}}}};
  const RowSource source = pair_rows(pairs, 4);
  // a with b, c with a, e with d: "a" answers itself and c is another answer to it.
  const StepBatch batch = assemble({{&source, "", "", true}},
                                   {{.example = 0}, {.example = 2}, {.example = 5}}, {0, 3}, by_length);
  EXPECT_TRUE(batch.relation.labels(0, 3).to(at::kLong).equal(
      at::tensor({1, 0, -1, -1, 1, -1, -1, -1, 1}, at::kLong).view({3, 3})))
      << batch.relation.labels(0, 3);
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
