#include "model/dropout.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "model/adapter_cases.hpp"
#include "model/finite_differences.hpp"
#include "model/furthest.hpp"

namespace decovec {
namespace {

using test::furthest;

TokenBatch batch_of(const std::vector<int64_t>& lengths) {
  std::vector<TokenSequence> sequences;
  for (const int64_t length : lengths)
    sequences.push_back({.ids = std::vector<int64_t>(static_cast<size_t>(length), 5)});
  return pack(sequences, 1 << 20).at(0).batch;  // longest first
}

at::Tensor kept(const TokenDropout& dropout, int64_t tokens, int64_t columns, int64_t layer = 0,
                const char* part = "attention") {
  return drop(at::ones({tokens, columns}, at::kDouble), dropout.hidden(layer, part)).ne(0).to(at::kDouble);
}

double correlation(const at::Tensor& a, const at::Tensor& b) {
  return (((a - a.mean()) * (b - b.mean())).mean() / (a.std() * b.std())).item<double>();
}

TEST(Dropout, KeepsTheShareAndTheMeanInEveryType) {
  const TokenBatch batch = batch_of({300, 200});
  for (const double rate : {0.1, 0.5, 0.9}) {
    const TokenDropout dropout({.hidden = rate, .keys = {1, 2}}, batch);
    const DropoutPlace place = dropout.hidden(0, "attention");
    for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16}) {
      const at::Tensor out = drop(at::full({500, 40}, 3, type), place);
      EXPECT_EQ(out.scalar_type(), type);
      const at::Tensor zero = out.eq(0);
      EXPECT_NEAR(zero.to(at::kDouble).mean().item<double>(), rate,
                  5 * std::sqrt(rate * (1 - rate) / out.numel()));
      const at::Tensor expected = (at::scalar_tensor(3, type) * (1 / (1 - rate))).to(type);
      EXPECT_TRUE((zero.logical_or(out.eq(expected))).all().item<bool>());
      EXPECT_TRUE(zero.equal(drop(at::ones({500, 40}), place).eq(0)));
    }
  }
}

// Neighbouring tokens, columns, places, layers and keys, each with 20,000 lots: five deviations are 0.035.
TEST(Dropout, LotsOfDifferentPlacesHaveNothingToDoWithEachOther) {
  const TokenBatch batch = batch_of({200, 200});
  const TokenDropout dropout({.hidden = 0.5, .keys = {1, 2}}, batch);
  const at::Tensor all = kept(dropout, 400, 100);
  const at::Tensor first = all.narrow(0, 0, 200), second = all.narrow(0, 200, 200);
  EXPECT_LT(std::abs(correlation(first, second)), 0.035);  // of the same text, position by position
  EXPECT_LT(std::abs(correlation(all.narrow(0, 0, 399), all.narrow(0, 1, 399))), 0.035);
  for (const int64_t distance : {1, 2, 4, 8, 16, 32, 64})
    EXPECT_LT(
        std::abs(correlation(all.narrow(1, 0, 100 - distance), all.narrow(1, distance, 100 - distance))),
        0.04);
  EXPECT_LT(std::abs(correlation(all, kept(dropout, 400, 100, 1))), 0.035);
  EXPECT_LT(std::abs(correlation(all, kept(dropout, 400, 100, 0, "feed_forward"))), 0.035);
  // Rows and columns have about as many each: variances of their means are those of independent lots.
  EXPECT_NEAR(all.mean(1).var().item<double>(), 0.25 / 100, 0.1 * 0.25 / 100 * 5);
  EXPECT_NEAR(all.mean(0).var().item<double>(), 0.25 / 400, 0.15 * 0.25 / 400 * 5);
}

TEST(Dropout, ATextsLotsDoNotDependOnTheBatch) {
  const TokenDropout together({.hidden = 0.5, .keys = {7, 8, 9}}, batch_of({9, 5, 2}));
  const TokenDropout alone({.hidden = 0.5, .keys = {8}}, batch_of({5}));
  EXPECT_TRUE(kept(together, 16, 70000).narrow(0, 9, 5).equal(kept(alone, 5, 70000)));
}

TEST(Dropout, RefusesWhatItCannotDo) {
  const TokenBatch batch = batch_of({3, 2});
  for (const double rate : {-0.1, 1.0, std::nan("")}) {
    EXPECT_THROW(TokenDropout({.hidden = rate, .keys = {1, 2}}, batch), std::invalid_argument);
    EXPECT_THROW(TokenDropout({.adapter_input = rate, .keys = {1, 2}}, batch), std::invalid_argument);
  }
  EXPECT_THROW(TokenDropout({.hidden = 0.1, .keys = {1}}, batch), std::invalid_argument);
  EXPECT_NO_THROW(TokenDropout({}, batch));
  const at::Tensor x = at::ones({5, 2});
  EXPECT_TRUE(drop(x, TokenDropout({}, batch).hidden(0, "attention")).is_same(x));
}

class DropoutPasses : public testing::Test {
 protected:
  // One text after the other, each alone or all together, with keys of their own.
  at::Tensor states(const Embedder& model, const Dropout& rates, int64_t tokens, bool checkpointing = false) {
    std::vector<TokenSequence> sequences = cases_.families.sequences();
    std::vector<at::Tensor> rows(sequences.size());
    for (const PackedBatch& packed : pack(sequences, tokens)) {
      ForwardOptions options{.gradient_checkpointing = checkpointing, .dropout = rates};
      for (const int64_t row : packed.rows) options.dropout.keys.push_back(100 + static_cast<uint64_t>(row));
      const at::Tensor out = forward(model.transformer, packed.batch, options);
      for (size_t b = 0; b < packed.rows.size(); ++b) {
        const int32_t begin = packed.batch.cu_seqlens[b], end = packed.batch.cu_seqlens[b + 1];
        rows[static_cast<size_t>(packed.rows[b])] = out.narrow(0, begin, end - begin);
      }
    }
    return at::cat(rows);
  }

  test::AdapterCases cases_;
};

TEST_F(DropoutPasses, AreTheSameHoweverTheBatchIsPacked) {
  for (const char* name : {"lora_all", "dora_fused", "embedding"}) {
    SCOPED_TRACE(name);
    const test::AdapterFolder folder(cases_, cases_.find(name));
    const Embedder model = folder.load(/*merge=*/false);
    const at::Tensor none = states(model, {}, 1 << 20);
    for (const Dropout& rates : {Dropout{.hidden = 0.2}, Dropout{.adapter_input = 0.3}}) {
      const at::Tensor all = states(model, rates, 1 << 20);
      EXPECT_TRUE(all.equal(states(model, rates, 1)));
      EXPECT_TRUE(all.equal(states(model, rates, 12)));
      EXPECT_GT(furthest(all, none), 1e-3);
    }
    const Embedder merged = folder.load(/*merge=*/true);  // has no adapter input
    EXPECT_TRUE(states(merged, {.adapter_input = 0.3}, 12).equal(states(merged, {}, 12)));
  }
}

// Recomputed layers draw the same lots: their gradients are those of the kept graph.
TEST_F(DropoutPasses, AreReplayedByCheckpointedLayers) {
  for (const char* name : {"lora_all", "dora"}) {
    const Embedder model =
        test::AdapterFolder(cases_, cases_.find(name)).load(/*merge=*/false, {.dtype = at::kDouble});
    std::vector<at::Tensor> gradients[2];
    for (const bool checkpointing : {false, true}) {
      for (const Parameter& parameter : model.parameters()) parameter.holder.requires_grad_(true);
      const at::Tensor out = states(model, {.hidden = 0.2, .adapter_input = 0.3}, 1 << 20, checkpointing);
      (out * random_normal(RandomKey(3), out.sizes().vec(), 1)).sum().backward();
      for (const Parameter& parameter : model.parameters())
        gradients[checkpointing].push_back(parameter.gradient().clone());
      for (const Parameter& parameter : model.parameters()) parameter.holder.mutable_grad() = at::Tensor();
    }
    for (size_t i = 0; i < gradients[0].size(); ++i)
      EXPECT_LT(furthest(gradients[0][i], gradients[1][i]), 1e-12) << model.parameters()[i].name;
  }
}

}  // namespace
}  // namespace decovec
