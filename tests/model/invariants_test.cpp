// What must hold for every model, whatever its weights.
#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include "decovec/model/embedder.hpp"
#include "model/finite_differences.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;
using test::expect_finite_differences;

fs::path test_data() {
  const char* folder = std::getenv("DECOVEC_TEST_DATA");
  return folder ? folder : "tests/data";
}

ModelConfig small_config(Attention attention, std::optional<int64_t> window = std::nullopt) {
  ModelConfig config;
  config.hidden_size = 48;
  config.intermediate_size = 80;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 16;
  config.attention = attention;
  config.sliding_window = window;
  return config;
}

Embedder small_model(Pooling pooling, Attention attention = Attention::bidirectional,
                     std::optional<int64_t> window = std::nullopt, at::ScalarType dtype = at::kFloat) {
  const auto tokenizer = Tokenizer::from_sentencepiece(test_data() / "tokenizer" / "tokenizer.model");
  ModelConfig config = small_config(attention, window);
  config.vocab_size = tokenizer->size();
  return Embedder::create(config, tokenizer,
                          {.dtype = dtype,
                           .pooling = pooling,
                           .max_length = 4096,
                           .latent_attention = {.latents = 5, .heads = 2, .head_dim = 8, .latent_dim = 20}});
}

std::vector<std::string> mixed_texts() {
  std::vector<std::string> texts = {"", "a", "the cat", "a large animal that lives in the sea",
                                    "\xc3\xa9t\xc3\xa9 \xe6\x97\xa5"};
  std::string growing;
  for (int i = 0; i < 40; ++i) {
    growing += (i % 3 == 0 ? " word" : " of the");
    texts.push_back(growing);
  }
  return texts;
}

class EveryModel : public testing::TestWithParam<std::tuple<Pooling, Attention, std::optional<int64_t>>> {
 protected:
  Embedder model() const {
    const auto& [pooling, attention, window] = GetParam();
    return small_model(pooling, attention, window);
  }
};

INSTANTIATE_TEST_SUITE_P(Model, EveryModel,
                         testing::Combine(testing::ValuesIn(all_poolings()),
                                          testing::Values(Attention::causal, Attention::bidirectional),
                                          testing::Values(std::optional<int64_t>(),
                                                          std::optional<int64_t>(3))));

TEST_P(EveryModel, AVectorIsTheSameAloneAndInAnyBatch) {
  at::set_num_threads(2);  // cuts work among threads at places that depend on the batch
  const Embedder embedder = model();
  const std::vector<std::string> texts = mixed_texts();
  const at::Tensor together = embedder.encode(texts, {.batch_tokens = 100000});
  EXPECT_FALSE(together.isnan().any().item<bool>());
  for (int64_t batch_tokens : {1, 7, 64, 500}) {
    EXPECT_TRUE(embedder.encode(texts, {.batch_tokens = batch_tokens}).equal(together)) << batch_tokens;
  }
  for (size_t i = 0; i < texts.size(); ++i) {
    const at::Tensor alone = embedder.encode(std::vector<std::string>{texts[i]});
    EXPECT_TRUE(alone[0].equal(together[static_cast<int64_t>(i)]))
        << "text " << i << ": " << (alone[0] - together[static_cast<int64_t>(i)]).abs().max().item<double>();
  }
}

TEST_P(EveryModel, AnInstructionIsAttendedTo) {
  const auto& [pooling, attention, window] = GetParam();
  if (pooling == Pooling::cls && attention == Attention::causal)
    GTEST_SKIP() << "the first token attends to itself alone";
  const Embedder embedder = model();
  const at::Tensor plain = embedder.encode({"the cat"});
  const at::Tensor instructed = embedder.encode({"the cat"}, {.prompt = "Instruct: find it\nQuery: "});
  EXPECT_GT((plain - instructed).abs().max().item<double>(), 1e-4);
}

TEST(Transformer, CausalStatesDependOnThePrefixAlone) {
  for (std::optional<int64_t> window : {std::optional<int64_t>(), std::optional<int64_t>(3)}) {
    for (Attention attention : {Attention::causal, Attention::bidirectional}) {
      const Embedder model = small_model(Pooling::mean, attention, window);
      const TokenSequence whole = model.sequence("", "a large animal that lives in the sea and eats fish");
      TokenSequence prefix = whole;
      prefix.ids.resize(whole.ids.size() / 2);
      const auto half = static_cast<int64_t>(prefix.ids.size());
      const at::NoGradGuard no_graph;
      const at::Tensor states = forward(model.transformer, pack({whole}, 4096)[0].batch);
      const at::Tensor of_prefix = forward(model.transformer, pack({prefix}, 4096)[0].batch);
      const double difference = (states.narrow(0, 0, half) - of_prefix).abs().max().item<double>();
      if (attention == Attention::causal) {
        EXPECT_LT(difference, 1e-5);
      } else {
        EXPECT_GT(difference, 1e-3);
      }
    }
  }
}

TEST(Transformer, ALongWindowedSequenceEqualsTheMaskedProduct) {
  // Past the block of queries that is handled at once, against a transformer without a window whose text is
  // cut to what the last token reaches: with one layer, its state depends on those tokens alone.
  const auto tokenizer = Tokenizer::from_sentencepiece(test_data() / "tokenizer" / "tokenizer.model");
  ModelConfig config = small_config(Attention::causal, 5);
  config.layers = 1;
  config.vocab_size = tokenizer->size();
  Transformer windowed = empty_transformer(config, at::kFloat, at::kCPU);
  initialise(windowed, RandomKey(3));
  TokenSequence sequence;
  for (int64_t i = 0; i < 1300; ++i) sequence.ids.push_back(3 + (i * 7919) % 300);
  const at::NoGradGuard no_graph;
  const at::Tensor states = forward(windowed, pack({sequence}, 4096)[0].batch);
  Transformer full = windowed;
  full.config.sliding_window.reset();
  for (int64_t end : {600, 1024, 1300}) {
    TokenSequence reached;
    reached.ids.assign(sequence.ids.begin() + end - 5, sequence.ids.begin() + end);
    const at::Tensor expected = forward(full, pack({reached}, 4096)[0].batch)[4];
    EXPECT_LT((states[end - 1] - expected).abs().max().item<double>(), 1e-5) << end;
  }
}

TEST(Transformer, HalfWeightsOnACpuComputeInFloat32) {
  const Embedder model = small_model(Pooling::mean, Attention::bidirectional, std::nullopt, at::kHalf);
  Embedder widened = small_model(Pooling::mean);
  const auto from = model.parameters(), to = widened.parameters();
  ASSERT_EQ(from.size(), to.size());
  for (size_t i = 0; i < from.size(); ++i) {
    EXPECT_EQ(from[i].holder.scalar_type(), at::kHalf);
    to[i].value().copy_(from[i].value());
  }
  EXPECT_TRUE(model.encode(mixed_texts()).equal(widened.encode(mixed_texts())));
}

TEST(Transformer, NoTokensAtAll) {
  Embedder model = small_model(Pooling::mean);
  model.rule = {.bos = false, .eos = EndOfText::none};
  const at::Tensor vectors = model.encode({"", "", "cat"});
  EXPECT_TRUE(vectors.narrow(0, 0, 2).equal(at::zeros({2, 48})));
  EXPECT_NEAR(vectors[2].norm().item<double>(), 1.0, 1e-6);
  EXPECT_TRUE(model.encode({""}).equal(at::zeros({1, 48})));
  EXPECT_EQ(model.encode(std::vector<std::string>{}).size(0), 0);
  model.pooling = {Pooling::last_token};
  EXPECT_TRUE(model.encode({""}).equal(at::zeros({1, 48})));
}

TEST(Gradient, EqualsFiniteDifferences) {
  for (Pooling pooling : all_poolings()) {
    for (std::optional<int64_t> window : {std::optional<int64_t>(), std::optional<int64_t>(2)}) {
      expect_finite_differences(small_model(pooling, Attention::bidirectional, window, at::kDouble), {});
    }
  }
  expect_finite_differences(small_model(Pooling::mean, Attention::causal, std::nullopt, at::kDouble), {});
}

TEST(Gradient, SurvivesCheckpointing) {
  expect_finite_differences(small_model(Pooling::latent_attention, Attention::bidirectional, 2, at::kDouble),
                            {.gradient_checkpointing = true});
}

}  // namespace
}  // namespace decovec
