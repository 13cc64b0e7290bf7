#include "decovec/model/token_batch.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

namespace decovec {
namespace {

TokenSequence of_length(int64_t length) {
  TokenSequence sequence;
  for (int64_t i = 0; i < length; ++i) sequence.ids.push_back(100 * length + i);
  sequence.pool_begin = length / 2;
  return sequence;
}

TEST(Pack, LaysEverySequenceOnceLongestFirst) {
  const std::vector<TokenSequence> sequences = {of_length(3), of_length(0), of_length(7), of_length(3),
                                                of_length(20)};
  std::vector<int> seen(sequences.size());
  int64_t last_length = 1000;
  for (const PackedBatch& packed : pack(sequences, 10)) {
    const TokenBatch& batch = packed.batch;
    validate(batch);
    EXPECT_TRUE(batch.tokens() <= 10 || batch.sequences() == 1);
    ASSERT_EQ(packed.rows.size(), static_cast<size_t>(batch.sequences()));
    for (size_t b = 0; b < packed.rows.size(); ++b) {
      const TokenSequence& sequence = sequences[static_cast<size_t>(packed.rows[b])];
      ++seen[static_cast<size_t>(packed.rows[b])];
      const int64_t length = batch.cu_seqlens[b + 1] - batch.cu_seqlens[b];
      EXPECT_LE(length, last_length);
      last_length = length;
      EXPECT_TRUE(
          batch.ids.narrow(0, batch.cu_seqlens[b], length).equal(at::tensor(sequence.ids, at::kLong)));
      EXPECT_EQ(batch.pool_begin[b], sequence.pool_begin);
    }
  }
  EXPECT_EQ(seen, std::vector<int>(sequences.size(), 1));
  EXPECT_TRUE(pack({}, 10).empty());
  EXPECT_THROW(pack(sequences, 0), std::invalid_argument);
}

TEST(Validate, RefusesBatchesThatDoNotAddUp) {
  const TokenBatch good = pack({of_length(3), of_length(2)}, 10)[0].batch;
  EXPECT_NO_THROW(validate(good));
  const auto broken = [&](auto change) {
    TokenBatch batch = good;
    change(batch);
    return batch;
  };
  EXPECT_THROW(validate(TokenBatch{}), std::invalid_argument);
  EXPECT_THROW(validate(broken([](TokenBatch& b) { b.cu_seqlens = {0, 100, 5}; })), std::invalid_argument);
  EXPECT_THROW(validate(broken([](TokenBatch& b) { b.cu_seqlens = {1, 3, 5}; })), std::invalid_argument);
  EXPECT_THROW(validate(broken([](TokenBatch& b) { b.cu_seqlens.pop_back(); })), std::invalid_argument);
  EXPECT_THROW(validate(broken([](TokenBatch& b) { b.pool_begin[0] = -1; })), std::invalid_argument);
  EXPECT_THROW(validate(broken([](TokenBatch& b) { b.ids = b.ids.narrow(0, 0, 4); })), std::invalid_argument);
  EXPECT_THROW(validate(broken([](TokenBatch& b) { b.ids = b.ids.to(at::kFloat); })), std::invalid_argument);
}

}  // namespace
}  // namespace decovec
