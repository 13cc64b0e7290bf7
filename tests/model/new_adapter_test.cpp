// Adapters that begin anew; tests/train/lora_test.cpp trains them as PEFT does.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "io/temporary_folder.hpp"
#include "model/adapter_cases.hpp"
#include "model/furthest.hpp"

namespace decovec {
namespace {

using test::furthest, test::states_of;
namespace fs = std::filesystem;

const ModuleNames kAll = {.names = {}, .pattern = "all-linear"};

class NewAdapter : public test::AdapterTest {
 protected:
  test::FamilyFolder folder_{cases_.families, cases_.families.find("qwen2_both")};
  const std::vector<TokenSequence> sequences_ = cases_.families.sequences();

  static std::map<std::string, at::Tensor> tensors(const Embedder& model) {
    std::map<std::string, at::Tensor> found;
    for (const Parameter& parameter : model.parameters())
      if (is_adapter_weight(parameter.name)) found[parameter.name] = parameter.value();
    return found;
  }
};

TEST_F(NewAdapter, ChangesNothingYet) {
  const at::Tensor before = states_of(folder_.load(), sequences_);
  for (const bool dora : {false, true}) {
    Embedder model = folder_.load();
    model.add_adapter({.rank = 4, .dora = dora, .targets = kAll});
    EXPECT_EQ(tensors(model).size(), 3u * 7 * (dora ? 3 : 2));
    EXPECT_LT(furthest(states_of(model, sequences_), before), 1e-5);
    model.merge_adapters();
    EXPECT_LT(furthest(states_of(model, sequences_), before), 1e-5);
  }
  Embedder model = folder_.load();
  model.add_adapter({.rank = 4, .dora = true, .targets = {.names = {"embed_tokens", "o_proj"}}});
  EXPECT_LT(furthest(states_of(model, sequences_), before), 1e-5);
  EXPECT_EQ(tensors(model).size(), 3u * 4);
}

// A is uniform: its variance is a third of the bound's square.
TEST_F(NewAdapter, IsDrawnByTheSeedAndTheModulesName) {
  Embedder model = folder_.load(), same = folder_.load(), other = folder_.load();
  const AdapterConfig config = {.rank = 64, .targets = kAll};
  model.add_adapter(config, 5);
  same.add_adapter({.rank = 64, .targets = {.names = {"down_proj", "q_proj"}}}, 5);
  other.add_adapter(config, 6);
  for (const auto& [name, value] : tensors(model)) {
    EXPECT_EQ(value.scalar_type(), at::kFloat);
    if (name.ends_with("lora_B.weight")) {
      EXPECT_EQ(value.count_nonzero().item<int64_t>(), 0);
      continue;
    }
    const double bound = 1 / std::sqrt(static_cast<double>(value.size(1)));
    EXPECT_LT(value.abs().max().item<double>(), bound);
    EXPECT_GT(value.abs().max().item<double>(), 0.99 * bound);
    EXPECT_NEAR(value.square().mean().item<double>(), bound * bound / 3, 0.1 * bound * bound / 3);
    EXPECT_NEAR(value.mean().item<double>(), 0, 0.1 * bound);
    EXPECT_FALSE(value.equal(tensors(other).at(name)));
  }
  for (const auto& [name, value] : tensors(same)) EXPECT_TRUE(value.equal(tensors(model).at(name))) << name;
  EXPECT_FALSE(tensors(model)
                   .at("layers.0.self_attn.q_proj.lora_A.weight")
                   .equal(tensors(model).at("layers.0.self_attn.k_proj.lora_A.weight")));
}

TEST_F(NewAdapter, IsSavedForItsBaseAndReadBack) {
  Embedder model = folder_.load();
  model.add_adapter({.rank = 3,
                     .alpha = 5,
                     .dropout = 0.1,
                     .rslora = true,
                     .targets = {.names = {"q_proj", "up_proj"}},
                     .layers = {0, 2},
                     .modules_to_save = {"norm"}});
  for (auto& [name, value] : tensors(model)) value.add_(0.125);
  model.transformer.norm.mul_(1.5);
  const TemporaryFolder out;
  model.save(out.path() / "adapter");
  const Embedder loaded = Embedder::load(out.path() / "adapter", mean({.merge_adapters = false}));
  EXPECT_TRUE(states_of(loaded, sequences_).equal(states_of(model, sequences_)));
  const Adapter& adapter = loaded.adapters.at(0);
  EXPECT_EQ(fs::path(adapter.config.base), folder_.path());
  EXPECT_EQ(adapter.config.dropout, 0.1);
  EXPECT_EQ(adapter.config.task, "FEATURE_EXTRACTION");
  EXPECT_EQ(adapter.config.layers, (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(tensors(loaded).size(), 2u * 2 * 2);
  EXPECT_TRUE(loaded.transformer.norm.equal(model.transformer.norm));
}

TEST_F(NewAdapter, RefusesWhatDoesNotFit) {
  const auto add = [&](const AdapterConfig& config) {
    Embedder model = folder_.load();
    model.add_adapter(config);
  };
  EXPECT_TELLS(add({.targets = {.names = {"q_proj", "v_prj"}}}), "targets: 'v_prj': the decoder has no such");
  EXPECT_TELLS(add({.targets = kAll, .excluded = {.names = {"query"}}}), "excluded: 'query'");
  EXPECT_TELLS(add({.targets = kAll, .modules_to_save = {"head"}}), "modules_to_save: 'head'");
  EXPECT_TELLS(add({.targets = {.names = {"input_layernorm"}}}), "neither a linear map nor the embedding");
  EXPECT_TELLS(add({.targets = {.names = {}, .pattern = "query"}}), "none of the decoder's modules");
  EXPECT_TELLS(add({.targets = {.names = {}, .pattern = "("}}), "add_adapter");
  EXPECT_TELLS(add({.rank = 0, .targets = kAll}), "rank: expected 1 to 1048576, got 0");
  EXPECT_TELLS(add({.alpha = 0, .targets = kAll}), "alpha: expected a number above 0");
  EXPECT_TELLS(add({.dropout = 1, .targets = kAll}), "dropout: expected a share from 0 to below 1, got 1");
  EXPECT_TELLS(add({.targets = kAll, .layers = {3}}), "layers: expected 0 to 2, got 3");
  Embedder model = folder_.load();
  model.add_adapter({.targets = kAll});
  EXPECT_TELLS(model.add_adapter({.targets = kAll}), "an adapter lies beside the weights already");
}

}  // namespace
}  // namespace decovec
