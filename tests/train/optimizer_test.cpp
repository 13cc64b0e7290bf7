#include "train/optimizer.hpp"

#include <cstdlib>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "io/file.hpp"
#include "io/json.hpp"
#include "io/temporary_folder.hpp"
#include "train/schedule.hpp"
#include "train/thread_world.hpp"
#include "train/tiny_run.hpp"
#include "train/whole.hpp"
#include "world/ranks.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

// tests/data/train/optimizer_reference.py says how the values were made.
Json reference() {
  return read_json(std::filesystem::path(std::getenv("DECOVEC_TEST_DATA")) / "train" / "optimizer.json");
}

at::Tensor tensor_of(const Json& json, at::ScalarType type) {
  return at::tensor(json.get<std::vector<double>>(), at::kDouble).to(type);
}

/// The reference's matrix [3, 4] (rows 0-1 and row 2 as two parameters of one holder) and vector [4].
Weights reference_weights(const Json& start, at::ScalarType type, const World& world = World()) {
  const at::Tensor matrix = tensor_of(start[0], type).view({3, 4}), vector = tensor_of(start[1], type);
  return make_weights({{.name = "upper", .holder = matrix, .row = 0, .rows = 2},
                       {.name = "lower", .holder = matrix, .row = 2, .rows = 1},
                       {.name = "bias", .holder = vector}},
                      world);
}

/// Own slices of a step's gradients, of which each rank brings a part.
std::vector<at::Tensor> own_gradients(const Json& step, at::ScalarType type, World& world) {
  std::vector<at::Tensor> gradients = {tensor_of(step.at("gradients")[0], type).view({3, 4}),
                                       tensor_of(step.at("gradients")[1], type)};
  for (at::Tensor& gradient : gradients) {
    const at::Tensor mine = at::arange(gradient.numel()).remainder(world.size()) == world.rank();
    gradient = gradient * mine.view(gradient.sizes());
  }
  return reduce_to_owners(std::move(gradients), world);
}

void expect_run(const std::string& name, Optimizer kind, at::ScalarType type, double tolerance) {
  const Json all = reference(), &run = all.at(name);
  for (const int ranks : {1, 2, 4, 13}) {
    ThreadRanks(ranks).run([&](World& world) {
      const Weights weights = reference_weights(run.at("start"), type, world);
      ASSERT_EQ(weights.holders.size(), 2u);
      OptimizerState state{.kind = kind};
      for (const Json& step : run.at("steps")) {
        std::vector<at::Tensor> gradients = own_gradients(step, type, world);
        const double norm = global_norm(gradients, world);
        EXPECT_NEAR(norm, step.at("norm").get<double>(), tolerance * 10);
        update(weights, gradients, state,
               {.learning_rate = all.at("learning_rate"),
                .weight_decay = all.at("weight_decay"),
                .gradient_scale = clip_scale(norm, all.at("clip"))},
               world);
        const std::vector<at::Tensor> masters = test::whole(weights.masters, weights.holders, world);
        for (size_t i = 0; i < 2; ++i) {
          const at::Tensor master = masters[i].flatten(), weight = weights.holders[i].flatten();
          const at::Tensor expected = tensor_of(step.at("masters")[i], at::kDouble);
          EXPECT_LT((master.to(at::kDouble) - expected).abs().max().item<double>(), tolerance) << name << i;
          EXPECT_TRUE(weight.equal(master.to(type)));
        }
      }
    });
  }
}

TEST(Optimizer, AdamWIsTorchs) {
  expect_run("adamw_float64", Optimizer::adamw, at::kDouble, 1e-12);
  expect_run("adamw_float32", Optimizer::adamw, at::kFloat, 2e-6);
}

TEST(Optimizer, LowPrecisionWeightsAreTheRoundingOfFloat32Masters) {
  expect_run("adamw_bfloat16", Optimizer::adamw, at::kBFloat16, 2e-6);
}

TEST(Optimizer, SgdIsTorchs) { expect_run("sgd_float64", Optimizer::sgd, at::kDouble, 1e-12); }

TEST(Optimizer, MastersKeepUpdatesTooSmallForTheWeights) {
  const at::Tensor weight = at::ones({2, 2}, at::kBFloat16);
  const Weights weights = make_weights({{.name = "w", .holder = weight}});
  OptimizerState state{.kind = Optimizer::sgd};
  World world;
  for (int i = 0; i < 10; ++i) {  // each step is a tenth of the smallest change of a bfloat16 below one
    std::vector<at::Tensor> gradients = {at::ones({4}, at::kBFloat16)};
    update(weights, gradients, state, {.learning_rate = 0.1 / 256}, world);
  }
  EXPECT_EQ(weight[0][0].item<double>(), 1 - 1.0 / 256);
}

TEST(Optimizer, ClipScaleIsOneWithinTheLimitAndWhereItIsOff) {
  EXPECT_EQ(clip_scale(0.5, 1.0), 1.0);
  EXPECT_EQ(clip_scale(1e9, 0.0), 1.0);
  EXPECT_DOUBLE_EQ(clip_scale(4.0, 2.0), 2.0 / (4.0 + 1e-6));
}

/// Collected by all ranks, written by the first.
void write_state(const fs::path& file, const Weights& weights, const OptimizerState& state, World& world) {
  std::vector<NamedTensor> tensors;
  for (const NamedState& part : named_state(weights, state))
    tensors.push_back(part.collected(weights, world));
  on_first_rank(world, [&] { write_safetensors(file, tensors); });
}

TEST(Optimizer, StateComesBackFromAFileByParameterNameOnAnyNumberOfRanks) {
  const TemporaryFolder folder;
  const Json all = reference();
  for (const char* name : {"adamw_bfloat16", "adamw_float64"}) {
    const at::ScalarType type = std::string(name) == "adamw_float64" ? at::kDouble : at::kBFloat16;
    const Json& run = all.at(name);
    const auto step = [&](const Weights& weights, OptimizerState& state, size_t i, World& world) {
      std::vector<at::Tensor> gradients = own_gradients(run.at("steps")[i], type, world);
      update(weights, gradients, state, {.learning_rate = 0.03, .weight_decay = 0.1}, world);
    };
    World alone;
    const Weights weights = reference_weights(run.at("start"), type);
    OptimizerState state{.kind = Optimizer::adamw};
    step(weights, state, 0, alone);
    std::vector<at::Tensor> after_one;
    for (const at::Tensor& holder : weights.holders) after_one.push_back(holder.clone());
    const fs::path file = folder.path() / "by_one.safetensors";
    write_state(file, weights, state, alone);
    step(weights, state, 1, alone);

    for (const int writers : {1, 2, 5}) {
      const fs::path copy = folder.path() / "by_many.safetensors";
      ThreadRanks(writers).run([&](World& world) {
        const Weights other = reference_weights(run.at("start"), type, world);
        OptimizerState state{.kind = Optimizer::adamw};
        step(other, state, 0, world);
        write_state(copy, other, state, world);
      });
      EXPECT_EQ(read_file(copy), read_file(file)) << writers;
    }
    for (const int readers : {1, 2, 5}) {
      ThreadRanks(readers).run([&](World& world) {
        const Weights other = reference_weights(run.at("start"), type, world);
        for (size_t i = 0; i < 2; ++i) other.holders[i].copy_(after_one[i]);
        OptimizerState restored{.kind = Optimizer::adamw, .steps = 1};
        restore_state(other, restored, TensorFiles::open(file), world);
        step(other, restored, 1, world);
        for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(other.holders[i].equal(weights.holders[i])) << readers;
      });
    }

    const TensorFiles good = TensorFiles::open(file);
    const auto refused = [&](const std::function<void(std::vector<NamedTensor>&)>& change) {
      std::vector<NamedTensor> tensors;
      for (const std::string& tensor : good.names()) tensors.push_back({tensor, good.tensor(tensor).clone()});
      change(tensors);
      const fs::path bad = folder.path() / "bad.safetensors";
      write_safetensors(bad, tensors);
      OptimizerState restored{.kind = Optimizer::adamw, .steps = 1};
      return message_of([&] { restore_state(weights, restored, TensorFiles::open(bad), alone); });
    };
    EXPECT_TRUE(has(refused([](auto& tensors) { tensors[0].name = "exp_avg.other"; }), "missing"));
    EXPECT_TRUE(has(refused([](auto& tensors) { tensors.erase(tensors.begin()); }), "missing"));
    EXPECT_TRUE(has(refused([](auto& tensors) {
                      tensors.push_back({"more", at::ones({1})});
                    }),
                    "unexpected"));
    EXPECT_TRUE(has(refused([](auto& tensors) { tensors[0].tensor = at::zeros({7}); }), "expected"));
    EXPECT_TRUE(
        has(refused([](auto& tensors) { tensors[0].tensor = tensors[0].tensor.to(at::kInt); }), "Int"));
  }
}

TEST(Schedule, IsTransformers) {
  const Json all = reference();
  for (const Json& expected : all.at("schedules")) {
    const std::string kind = expected.at("kind");
    StageRecipe stage;
    stage.learning_rate = 0.5;
    stage.warmup_steps = expected.at("warmup");
    stage.steps = expected.at("steps");
    stage.schedule = kind == "linear"   ? Schedule::linear
                     : kind == "cosine" ? Schedule::cosine
                                        : Schedule::constant;
    for (int64_t t = 1; t <= stage.steps; ++t)
      EXPECT_NEAR(learning_rate(stage, t),
                  0.5 * expected.at("factors")[static_cast<size_t>(t - 1)].get<double>(), 1e-15)
          << kind << " warm-up " << stage.warmup_steps << " step " << t;
  }
}

TEST(Schedule, ReachesTheFullRateAfterWarmupAndZeroAtTheEnd) {
  StageRecipe stage;
  stage.learning_rate = 2e-5;
  stage.warmup_steps = 100;
  stage.steps = 1000;
  for (Schedule schedule : {Schedule::linear, Schedule::cosine}) {
    stage.schedule = schedule;
    EXPECT_DOUBLE_EQ(learning_rate(stage, 1), 2e-7);
    EXPECT_DOUBLE_EQ(learning_rate(stage, 100), 2e-5);
    EXPECT_DOUBLE_EQ(learning_rate(stage, 550), 1e-5);
    EXPECT_NEAR(learning_rate(stage, 1000), 0, 1e-20);
  }
  stage.warmup_steps = stage.steps;
  EXPECT_DOUBLE_EQ(learning_rate(stage, stage.steps), 2e-5);
}

// The rates of BEiT and ELECTRA: 1 for what follows the layers, one factor more for each layer below.
TEST(LayerDecay, LowersTheRateLayerByLayer) {
  for (const bool latent : {false, true}) {
    Embedder model = test::tiny_model(latent ? Pooling::latent_attention : Pooling::mean);
    model.add_adapter({.targets = {.names = {"embed_tokens", "q_proj"}}});
    const Weights weights = make_weights(model.parameters());
    EXPECT_TRUE(rate_scales(weights, model, 1).empty());
    const std::vector<double> scales = rate_scales(weights, model, 0.5);
    std::map<std::string, double> of;
    for (size_t p = 0; p < weights.parameters.size(); ++p)
      of[weights.parameters[p].name] = scales[weights.holder_of[p]];
    const std::string prefix = latent ? "embedding_model." : "";
    EXPECT_EQ(of.at(prefix + "embed_tokens.weight"), 0.125);
    EXPECT_EQ(of.at(prefix + "embed_tokens.lora_embedding_A"), 0.125);
    EXPECT_EQ(of.at(prefix + "layers.0.mlp.up_proj.weight"), 0.25);
    EXPECT_EQ(of.at(prefix + "layers.0.self_attn.q_proj.lora_A.weight"), 0.25);
    EXPECT_EQ(of.at(prefix + "layers.1.input_layernorm.weight"), 0.5);
    EXPECT_EQ(of.at(prefix + "norm.weight"), 1);
    if (latent) {
      EXPECT_EQ(of.at("latent_attention_model.latents"), 1);
    }
  }
}

TEST(LayerDecay, ScalesStepsAndWeightDecay) {
  for (const Optimizer kind : {Optimizer::adamw, Optimizer::sgd}) {
    const at::Tensor a = at::full({2, 2}, 3, at::kDouble), b = at::full({2, 2}, 3, at::kDouble);
    const at::Tensor alone = at::full({2, 2}, 3, at::kDouble);
    const Weights both = make_weights({{.name = "a", .holder = a}, {.name = "b", .holder = b}});
    const Weights one = make_weights({{.name = "alone", .holder = alone}});
    OptimizerState state{.kind = kind}, state_alone{.kind = kind};
    World world;
    for (int step = 0; step < 3; ++step) {
      std::vector<at::Tensor> gradients = {at::ones({4}, at::kDouble), at::ones({4}, at::kDouble)};
      std::vector<at::Tensor> gradient = {at::ones({4}, at::kDouble)};
      update(both, gradients, state, {.learning_rate = 0.1, .rate_scales = {1, 0.25}, .weight_decay = 0.5},
             world);
      update(one, gradient, state_alone, {.learning_rate = 0.025, .weight_decay = 0.5}, world);
    }
    EXPECT_TRUE(b.equal(alone));
    EXPECT_FALSE(a.equal(b));
  }
}

}  // namespace
}  // namespace decovec
