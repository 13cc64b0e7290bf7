// Training of adapters: against PEFT and torch's AdamW (tests/data/train/lora_reference.py), and as a whole.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "decovec/loss/info_nce.hpp"
#include "io/temporary_folder.hpp"
#include "model/adapter_cases.hpp"
#include "model/furthest.hpp"
#include "train/grad_cache.hpp"
#include "train/optimizer.hpp"
#include "train/thread_world.hpp"
#include "train/tiny_run.hpp"
#include "train/weights.hpp"

namespace decovec {
namespace {

using test::furthest, test::hashed_weight;
namespace fs = std::filesystem;

// Texts of families/, the queries first; document 1 is a negative of query 0.
StepBatch reference_batch(const Json& reference, const std::vector<TokenSequence>& sequences) {
  StepBatch batch;
  batch.own = {0, 2};
  for (const char* key : {"queries", "documents"})
    for (const Json& place : reference.at(key)) batch.sequences.push_back(sequences.at(place.get<size_t>()));
  batch.row_of = {0, 1, 0, 0, 1};
  RelationFacts facts;
  facts.owner = {0, 0, 1};
  facts.role = {Role::positive, Role::negative, Role::positive};
  facts.pool = {0, 0};
  facts.text = {1, 2, 3};
  facts.answers = {{}, {}};
  batch.relation = Relation(std::move(facts));
  return batch;
}

// Both sides turn q and k by float32 tables, whose last bits may differ, and AdamW's first steps magnify
// that; all else is float64.
TEST(Lora, IsTrainedAsPeftDoes) {
  const test::FamilyCases families;
  const Json reference = read_json(test::test_data() / "train/lora.json");
  const TensorFiles expected = TensorFiles::open(test::test_data() / "train/lora.safetensors");
  const test::FamilyFolder folder(families, families.find("llama"));
  for (const auto& [name, one] : reference.at("cases").items()) {
    SCOPED_TRACE(name);
    Embedder model = folder.load({.dtype = at::kDouble});
    model.add_adapter({.rank = one.at("rank"),
                       .alpha = one.at("alpha"),
                       .dropout = one.at("dropout"),
                       .rslora = one.at("rslora"),
                       .dora = one.at("dora"),
                       .targets = {.names = one.at("targets")}});
    const Weights weights = make_weights(trained_parameters(model));
    for (const Parameter& parameter : weights.parameters) {
      if (parameter.name.find("magnitude") == std::string::npos) {
        parameter.value().copy_(hashed_weight(parameter.name, parameter.shape(), 0.125F, 0));
      } else {
        EXPECT_LT(furthest(parameter.value(), expected.tensor(name + ".start." + parameter.name)), 1e-12);
      }
    }
    const TrainableScope trainable(weights);
    const StepBatch batch = reference_batch(reference, families.sequences());
    OptimizerState state{.kind = Optimizer::adamw};
    World world;
    uint64_t step = 0;
    for (const Json& loss : one.at("losses")) {
      const RandomKey key = RandomKey(9).with(++step);
      const EmbedFunction embed = [&](const PackedBatch& packed) {
        Dropout dropout{.hidden = one.at("hidden_dropout"), .adapter_input = one.at("dropout")};
        for (const int64_t row : packed.rows)
          dropout.keys.push_back(key.with(static_cast<uint64_t>(row)).value);
        return model.embed(packed.batch, {.dropout = dropout});
      };
      GradientSum sum(weights.holders);
      const CachedLoss result = accumulate_gradient(
          batch, embed,
          [&](const Embeddings& embeddings, FilterCounts*) {
            return info_nce(embeddings, batch.relation, {.temperature = reference.at("temperature")});
          },
          sum, at::kCPU, world, {.micro_batch_tokens = 20});
      EXPECT_NEAR(result.loss, loss.get<double>(), step == 1 ? 1e-8 : 1e-7) << "step " << step;
      std::vector<at::Tensor> gradients = sum.finish(world);
      const double norm = global_norm(gradients, world);
      EXPECT_NEAR(norm, one.at("norms")[step - 1].get<double>(), 1e-6);
      update(weights, gradients, state,
             {.learning_rate = reference.at("learning_rate"),
              .weight_decay = reference.at("weight_decay"),
              .gradient_scale = clip_scale(norm, reference.at("clip"))},
             world);
    }
    for (const Parameter& parameter : weights.parameters)
      EXPECT_LT(furthest(parameter.value(), expected.tensor(name + ".end." + parameter.name)), 1e-6)
          << parameter.name;
  }
}

class LoraRun : public testing::Test {
 protected:
  const TemporaryFolder folder_;
  Recipe recipe_ = test::tiny_recipe(folder_.path());

  void SetUp() override {
    recipe_.lora = AdapterConfig{.rank = 3, .alpha = 6, .dropout = 0.1, .targets = {.pattern = "all-linear"}};
    for (StageRecipe& stage : recipe_.stages) stage.hidden_dropout = 0.1;
  }

  // A model whose base a folder holds, so that the adapter alone can be saved.
  Embedder saved_model(at::ScalarType type = at::kFloat) const {
    const fs::path base = folder_.path() / "base";
    if (!fs::exists(base)) test::tiny_model(Pooling::mean, type).save(base);
    return Embedder::load(base);
  }

  static double largest_difference(const Embedder& a, const Embedder& b) {
    double largest = 0;
    const std::vector<at::Tensor> left = test::weights_of(a), right = test::weights_of(b);
    EXPECT_EQ(left.size(), right.size());
    for (size_t i = 0; i < left.size(); ++i) largest = std::max(largest, furthest(left[i], right[i]));
    return largest;
  }

  std::string error_of(Embedder model, const TrainOptions& options = {}) const {
    try {
      train(model, recipe_, options);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(LoraRun, TrainsTheAdapterAloneAndWhatFollowsTheDecoder) {
  for (const Pooling pooling : {Pooling::mean, Pooling::latent_attention}) {
    const Embedder before = test::tiny_model(pooling);
    Embedder model = test::tiny_model(pooling);
    std::vector<double> losses;
    recipe_.stages[0].steps = 40;
    train(model, recipe_, {.on_step = [&](const StepReport& report) { losses.push_back(report.loss); }});
    EXPECT_LT(losses[39], 0.7 * losses[0]);
    std::map<std::string, at::Tensor> start;
    for (const Parameter& parameter : before.parameters()) start[parameter.name] = parameter.value();
    for (const Parameter& parameter : model.parameters()) {
      EXPECT_FALSE(parameter.holder.requires_grad() || parameter.holder.grad().defined());
      const auto found = start.find(parameter.name);
      const bool adapter = is_adapter_weight(parameter.name);
      EXPECT_EQ(adapter, found == start.end()) << parameter.name;
      if (adapter) {
        EXPECT_GT(parameter.value().abs().max().item<double>(), 0) << parameter.name;
      } else {
        const bool frozen = parameter.name.find("latent_attention_model.") == std::string::npos;
        EXPECT_EQ(parameter.value().equal(found->second), frozen) << parameter.name;
      }
    }
  }
}

TEST_F(LoraRun, DoesNotDependOnMicroBatchesCheckpointingOrRanks) {
  for (const bool dora : {false, true}) {
    recipe_.lora->dora = dora;
    recipe_.lora->rslora = !dora;
    const auto model = [] { return test::tiny_model(Pooling::latent_attention, at::kDouble); };
    Recipe other = recipe_;
    recipe_.stages[0].micro_batch_tokens = recipe_.stages[1].micro_batch_tokens = 100000;
    other.stages[0].micro_batch_tokens = 33;
    other.stages[1].gradient_checkpointing = true;
    Embedder expected = model(), cut = model();
    train(expected, recipe_);
    train(cut, other);
    EXPECT_LT(largest_difference(expected, cut), 1e-8);
    ThreadRanks(2).run([&](World& world) {
      Embedder part = model();
      train(part, other, {.world = &world});
      EXPECT_LT(largest_difference(expected, part), 1e-8);
    });
  }
}

// The same text as query and as document: dropout alone tells their vectors apart, as SimCSE wants.
TEST_F(LoraRun, DropoutMakesTwoViewsOfATextAndIsDrawnAnewInEachStep) {
  test::write_jsonl(folder_.path() / "definitions.jsonl",
                    {"definitions", {{"a whale", {"a whale"}, {}}, {"a tree", {"a tree"}, {}}}});
  recipe_.data[0].query_prompt = recipe_.data[0].document_prompt = "";
  recipe_.stages.resize(1);
  recipe_.stages[0].batch_size = 2;
  recipe_.stages[0].learning_rate = 1e-30;
  recipe_.stages[0].losses[0].loss = [](const Embeddings& e, const Relation&, FilterCounts*) {
    return (e.queries.narrow(0, e.begin, e.end - e.begin) - e.documents.narrow(0, e.begin, e.end - e.begin))
        .square()
        .sum();
  };
  const auto losses = [&] {
    std::vector<double> found;
    Embedder model = test::tiny_model();
    train(model, recipe_, {.on_step = [&](const StepReport& report) { found.push_back(report.loss); }});
    return found;
  };
  const std::vector<double> first = losses();
  EXPECT_EQ(first, losses());
  for (size_t i = 0; i < first.size(); ++i) EXPECT_GT(first[i], 1e-4);
  EXPECT_NE(first[0], first[1]);
  recipe_.seed += 1;
  EXPECT_NE(first, losses());
  recipe_.stages[0].hidden_dropout = 0;
  recipe_.lora.reset();
  for (const double loss : losses()) EXPECT_LT(loss, 1e-9);
}

TEST_F(LoraRun, SavesTheAdapterAloneOrMerged) {
  recipe_.stages[0].output = folder_.path() / "adapter";
  Embedder model = saved_model();
  train(model, recipe_);
  EXPECT_TRUE(fs::exists(folder_.path() / "adapter/adapter_model.safetensors"));
  EXPECT_FALSE(fs::exists(folder_.path() / "adapter/model.safetensors"));
  recipe_.stages[0].output = folder_.path() / "merged";
  recipe_.merge_output = true;
  Embedder again = saved_model();
  train(again, recipe_);
  EXPECT_TRUE(test::same_weights(model, again));
  const Embedder merged = Embedder::load(folder_.path() / "merged");
  EXPECT_TRUE(merged.adapters.empty());
  EXPECT_TRUE(test::same_weights(merged, Embedder::load(folder_.path() / "adapter")));
  EXPECT_FALSE(test::same_weights(merged, saved_model()));
  recipe_.stages[0].output = folder_.path() / "nowhere";
  recipe_.merge_output = false;
  EXPECT_TRUE(has(error_of(test::tiny_model()), "no folder holds the base of the adapter"));
}

// A loaded adapter goes on as the one in memory does.
TEST_F(LoraRun, ALoadedAdapterIsTrainedFurther) {
  recipe_.stages.resize(1);
  recipe_.stages[0].output = folder_.path() / "first";
  Embedder model = saved_model();
  train(model, recipe_);
  recipe_.model = folder_.path() / "first";
  recipe_.merge_adapters = false;
  recipe_.lora.reset();
  recipe_.stages[0].output = folder_.path() / "second";
  recipe_.seed = 8;
  Embedder loaded = starting_model(recipe_);
  EXPECT_TRUE(test::same_weights(model, loaded));
  EXPECT_EQ(loaded.adapters.back().config.dropout, 0.1);
  train(loaded, recipe_);
  Recipe further = recipe_;
  further.stages[0].output.clear();
  train(model, further);
  EXPECT_TRUE(test::same_weights(model, loaded));
  EXPECT_FALSE(test::same_weights(Embedder::load(folder_.path() / "first"),
                                  Embedder::load(folder_.path() / "second")));
  recipe_.lora = AdapterConfig{.rank = 4};
  EXPECT_TRUE(has(error_of(loaded), "train: lora: "));
  recipe_.model = folder_.path() / "base";
  EXPECT_THROW(starting_model(recipe_), std::invalid_argument);
}

TEST_F(LoraRun, WhatIsHeldTogetherIsTrainedTogether) {
  recipe_.lora->modules_to_save = {"q_proj"};
  EXPECT_TRUE(has(error_of(test::tiny_model()), "replaces 'layers.0.self_attn.q_proj.weight' without"));
  recipe_.lora->modules_to_save = {"mlp", "norm"};
  const Embedder before = test::tiny_model();
  Embedder model = test::tiny_model();
  train(model, recipe_);
  EXPECT_FALSE(model.transformer.layers[1].gate_up.weight.equal(before.transformer.layers[1].gate_up.weight));
  EXPECT_FALSE(model.transformer.norm.equal(before.transformer.norm));
  EXPECT_TRUE(model.transformer.embedding.equal(before.transformer.embedding));
}

}  // namespace
}  // namespace decovec
