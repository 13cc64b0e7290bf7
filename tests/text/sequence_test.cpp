#include <gtest/gtest.h>

#include "decovec/text/tokenizer.hpp"
#include "text/fixture.hpp"

namespace decovec {
namespace {

using Ids = std::vector<int64_t>;

class MakeSequence : public testing::Test {
 protected:
  Ids ids(std::string_view text) const { return tokenizer->ids(text); }
  std::shared_ptr<const Tokenizer> tokenizer = Tokenizer::load(fixture_folder());
};

Ids joined(std::initializer_list<Ids> parts) {
  Ids all;
  for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST_F(MakeSequence, IsWhatSentenceTransformersMakes) {
  const Json rows = reference("sequences.json");
  ASSERT_GT(rows.size(), 300u);
  for (const Json& row : rows) {
    const SequenceRule rule = {.bos = row["bos"].get<bool>(),
                               .eos = row["eos"].get<bool>() ? EndOfText::kept : EndOfText::none,
                               .instruction = InstructionPooling::sentence_transformers,
                               .max_length = row["max_length"].get<int64_t>()};
    const TokenSequence sequence = make_sequence(*tokenizer, rule, row["prompt"].get<std::string>(),
                                                 row["text"].get<std::string>(), Truncate::right);
    const auto expected = row["ids"].get<Ids>();
    EXPECT_EQ(sequence.ids, expected) << row;
    EXPECT_EQ(sequence.pool_begin,
              std::min(row["prompt_length"].get<int64_t>(), static_cast<int64_t>(expected.size())))
        << row;
  }
}

TEST_F(MakeSequence, JoinsInstructionAndTextBeforeTokenizing) {
  const SequenceRule rule = {.eos = EndOfText::kept};
  const TokenSequence sequence = make_sequence(*tokenizer, rule, "query: ", "the body");
  EXPECT_EQ(sequence.ids, joined({{1}, ids("query: the body"), {2}}));
  EXPECT_EQ(sequence.pool_begin, 0);
  EXPECT_FALSE(sequence.truncated);
}

TEST_F(MakeSequence, KeepsOrCutsEosWhereATextIsTooLong) {
  const Ids body = ids("the body of the man");
  ASSERT_EQ(body.size(), 6u);
  const auto make = [&](EndOfText eos, int64_t max_length) {
    return make_sequence(*tokenizer, {.eos = eos}, "", "the body of the man", Truncate::right, max_length);
  };
  const auto head = [&](size_t count) { return Ids(body.begin(), body.begin() + static_cast<long>(count)); };

  EXPECT_EQ(make(EndOfText::kept, 8).ids, joined({{1}, body, {2}}));
  EXPECT_EQ(make(EndOfText::cut, 8).ids, joined({{1}, body, {2}}));
  EXPECT_FALSE(make(EndOfText::kept, 8).truncated);
  EXPECT_FALSE(make(EndOfText::cut, 8).truncated);

  EXPECT_EQ(make(EndOfText::kept, 7).ids, joined({{1}, head(5), {2}}));
  EXPECT_EQ(make(EndOfText::cut, 7).ids, joined({{1}, body}));
  EXPECT_EQ(make(EndOfText::none, 6).ids, joined({{1}, head(5)}));
  for (const EndOfText eos : {EndOfText::kept, EndOfText::cut}) EXPECT_TRUE(make(eos, 7).truncated);
  EXPECT_EQ(make(EndOfText::kept, 2).ids, (Ids{1, 2}));
  EXPECT_EQ(make(EndOfText::cut, 1).ids, (Ids{1}));
}

TEST_F(MakeSequence, RefusesATextTooLongUnlessToldToCut) {
  const SequenceRule rule = {.eos = EndOfText::kept, .max_length = 7};
  const std::string text = "the body of the man";
  EXPECT_TRUE(has(message_of<std::invalid_argument>([&] { make_sequence(*tokenizer, rule, "", text); }),
                  "instruction, text and special tokens: expected at most 7 ids, got 8"));
  EXPECT_EQ(make_sequence(*tokenizer, rule, "", text, Truncate::error, 8).ids.size(), 8u);
}

TEST_F(MakeSequence, CountsNvEmbedsInstructionAlone) {
  const SequenceRule rule = {.eos = EndOfText::cut, .instruction = InstructionPooling::nv_embed};
  const auto pool_begin = [&](const char* instruction, const char* text) {
    return make_sequence(*tokenizer, rule, instruction, text).pool_begin;
  };
  // ▁to ▁the ▁: the last one fuses with the text's first word, BOS takes its place in the count.
  const auto pieces = static_cast<int64_t>(ids("to the ").size());
  EXPECT_EQ(pool_begin("to the ", "man"), pieces);
  EXPECT_EQ(make_sequence(*tokenizer, rule, "to the ", "man").ids,
            joined({{1}, ids("to the"), ids("man"), {2}}));
  EXPECT_EQ(static_cast<size_t>(pieces), joined({{1}, ids("to the")}).size());
  // Without a space at its end, the same count leaves the instruction's last piece pooled.
  EXPECT_EQ(pool_begin("to the", " man"), pieces - 1);
  EXPECT_EQ(pool_begin("", "man"), 0);
  EXPECT_EQ(make_sequence(*tokenizer, rule, "to the man of ", "a", Truncate::right, 3).pool_begin, 3);
}

TEST_F(MakeSequence, RefusesARuleThatTheTokenizerCannotFollow) {
  for (const int64_t max_length : {-1, 1})
    EXPECT_TRUE(has(message_of<std::invalid_argument>([&] {
                      make_sequence(*tokenizer, {.eos = EndOfText::kept}, "", "", Truncate::right,
                                    max_length);
                    }),
                    "max_length: expected at least 2"));
  EXPECT_TRUE(has(message_of<std::invalid_argument>(
                      [&] { make_sequence(*tokenizer, {.bos = false, .max_length = 0}, "", ""); }),
                  "max_length: expected at least 1, got 0"));
  EXPECT_EQ(make_sequence(*tokenizer, {.bos = false}, "", "").ids, Ids());

  // A model whose trainer_spec (field 2) names the pieces </s> and <s> (fields 46, 47) that it does not have.
  const TemporaryFolder folder;
  put(folder / "tokenizer.model", fixture_model() +
                                      "\x12\x0a\xf2\x02\x02"
                                      "no"
                                      "\xfa\x02\x02"
                                      "no");
  const auto without = Tokenizer::load(folder.path());
  EXPECT_EQ(without->bos(), std::nullopt);
  for (const SequenceRule& rule : {SequenceRule{}, SequenceRule{.bos = false, .eos = EndOfText::kept},
                                   SequenceRule{.bos = false, .eos = EndOfText::cut}})
    EXPECT_TRUE(has(message_of<std::invalid_argument>([&] { make_sequence(*without, rule, "", "a"); }),
                    "which the tokenizer does not have"));
}

}  // namespace
}  // namespace decovec
