#include "train/memory_plan.hpp"

#include <gtest/gtest.h>

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include "io/temporary_folder.hpp"
#include "train/thread_world.hpp"
#include "train/tiny_run.hpp"

namespace decovec {
namespace {

/// Counts what LibTorch takes on the CPU beyond what is there already.
struct PeakMemory : c10::MemoryReportingInfoBase {
  int64_t now = 0, peak = 0;
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device device) override {
    if (!device.is_cpu()) return;
    now += bytes;
    peak = std::max(peak, now);
  }
  bool memoryProfilingEnabled() const override { return true; }
};

Embedder model_of(int64_t hidden, int64_t layers, int64_t heads, int64_t kv_heads, Pooling pooling,
                  at::ScalarType dtype) {
  ModelConfig config;
  const auto tokenizer = Tokenizer::from_sentencepiece(test::test_data() / "tokenizer" / "tokenizer.model");
  config.vocab_size = tokenizer->size();
  config.hidden_size = hidden;
  config.intermediate_size = 3 * hidden;
  config.layers = layers;
  config.heads = heads;
  config.kv_heads = kv_heads;
  config.head_dim = hidden / heads;
  config.attention = Attention::bidirectional;
  return Embedder::create(
      config, tokenizer,
      {.dtype = dtype,
       .pooling = pooling,
       .max_length = 64,
       .latent_attention = {.latents = 16, .heads = 4, .head_dim = 16, .latent_dim = 64}});
}

/// Texts that all fill max_length, so that the batch is as large as the plan must take it to be.
Dataset long_texts() {
  std::vector<Example> examples;
  for (int i = 0; i < 8; ++i) {
    std::string text;
    for (int word = 0; word < 80; ++word) text += fmt::format(" {}", (word * 7 + i) % 10);
    examples.push_back({'q' + text, {'p' + text}, {'n' + text, 'm' + text}});
  }
  return {"long", std::move(examples)};
}

struct Case {
  const char* what;
  Embedder model;
  int64_t batch_size, micro_batch_tokens;
  bool checkpointing = false;
};

TEST(MemoryPlan, IsWithinAThirdOfWhatAStepTakes) {
  const TemporaryFolder folder;
  test::write_jsonl(folder / "long.jsonl", long_texts());
  const auto make = [](int64_t hidden, int64_t layers, int64_t heads, int64_t kv_heads,
                       Pooling pooling = Pooling::mean, at::ScalarType dtype = at::kFloat) {
    return model_of(hidden, layers, heads, kv_heads, pooling, dtype);
  };
  for (Case& run : std::vector<Case>{
           {"large weights", make(256, 2, 4, 4), 4, 64},
           {"a large graph", make(64, 6, 4, 4), 16, 2048},
           {"a large graph of shared key heads", make(64, 6, 4, 2), 16, 2048},
           {"a large graph in double", make(64, 6, 4, 4, Pooling::mean, at::kDouble), 16, 2048},
           {"a large graph in bfloat16", make(64, 6, 4, 4, Pooling::mean, at::kBFloat16), 16, 2048},
           {"a large graph of latents", make(64, 4, 4, 4, Pooling::latent_attention), 16, 2048},
           {"a recomputed graph", make(64, 6, 4, 4), 16, 2048, true},
           {"many scores", make(16, 1, 2, 2), 512, 64}}) {
    Recipe recipe;
    DataRecipe data;
    data.name = "long";
    data.files = {folder / "long.jsonl"};
    data.negatives = 2;
    recipe.data = {data};
    StageRecipe stage;
    stage.name = "only";
    stage.batch_size = run.batch_size;
    stage.micro_batch_tokens = run.micro_batch_tokens;
    stage.gradient_checkpointing = run.checkpointing;
    stage.steps = 2;  // from the second on the optimizer's state is there
    recipe.stages = {stage};
    const MemoryPlan plan = plan_memory(run.model, recipe).at(0);
    const auto measured = std::make_shared<PeakMemory>();
    {
      const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, measured);
      train(run.model, recipe);
    }
    const double share =
        static_cast<double>(plan.peak() - plan.weights) / static_cast<double>(measured->peak);
    EXPECT_GT(share, 0.75) << run.what;
    EXPECT_LT(share, 1.33) << run.what;
  }
}

/// Of a 7B model.
MemoryFacts large() {
  return {.weights = int64_t{7} << 30,
          .trained = int64_t{7} << 30,
          .weight_bytes = 2,
          .dimensions = 4096,
          .documents_a_query = 8,
          .longest = 512};
}

TEST(MemoryPlan, RanksShareWhatTheOptimizerHolds) {
  StageRecipe stage;
  MemoryFacts facts = large();
  const MemoryPlan one = plan_stage(facts, stage);
  EXPECT_EQ(one.weights, int64_t{14} << 30);
  EXPECT_EQ(one.masters, int64_t{28} << 30);
  EXPECT_EQ(one.optimizer, int64_t{56} << 30);
  facts.ranks = 4;
  const MemoryPlan four = plan_stage(facts, stage);
  EXPECT_EQ(four.weights, one.weights);
  EXPECT_EQ(four.gradients, one.gradients);
  EXPECT_EQ(four.masters, one.masters / 4);
  EXPECT_EQ(four.optimizer, one.optimizer / 4);
  stage.optimizer = Optimizer::sgd;
  EXPECT_EQ(plan_stage(facts, stage).optimizer, 0);
  facts.weight_bytes = 4;
  EXPECT_EQ(plan_stage(facts, stage).masters, 0);
}

TEST(MemoryPlan, ProposesTheMostTokensThatFit) {
  StageRecipe stage;
  stage.batch_size = 1024;
  stage.micro_batch_tokens = 65536;
  MemoryFacts facts = large();
  facts.trained = 10000000;
  EXPECT_TRUE(plan_stage(facts, stage).fits());
  EXPECT_EQ(plan_stage(facts, stage).fitting_tokens, 1024 * 9 * 512);  // the whole batch
  for (const int64_t gigabytes : {20, 40, 80}) {
    facts.available = gigabytes << 30;
    const MemoryPlan plan = plan_stage(facts, stage);
    ASSERT_GT(plan.fitting_tokens, 0);
    StageRecipe proposed = stage;
    proposed.micro_batch_tokens = plan.fitting_tokens;
    EXPECT_TRUE(plan_stage(facts, proposed).fits()) << gigabytes;
    proposed.micro_batch_tokens += 128;
    EXPECT_FALSE(plan_stage(facts, proposed).fits()) << gigabytes;
    proposed.gradient_checkpointing = true;
    EXPECT_GT(plan_stage(facts, proposed).fitting_tokens, 4 * plan.fitting_tokens) << gigabytes;
  }
  facts.available = int64_t{13} << 30;  // less than the weights
  EXPECT_FALSE(plan_stage(facts, stage).fits());
  EXPECT_EQ(plan_stage(facts, stage).fitting_tokens, 0);
}

TEST(MemoryPlan, TheScoreMatrixIsNeverThereAtOnce) {
  StageRecipe stage;
  stage.batch_size = 65536;
  const MemoryPlan plan = plan_stage(large(), stage);
  const int64_t matrix = int64_t{65536} * 9 * 65536 * 4;
  EXPECT_LT(plan.scores, matrix / 10);
}

TEST(MemoryPlan, SeesWhatTheMachineHasAndWhoSharesIt) {
  const TemporaryFolder folder;
  const Recipe recipe = test::tiny_recipe(folder.path());
  const Embedder model = test::tiny_model();
  const std::vector<MemoryPlan> plans = plan_memory(model, recipe);
  ASSERT_EQ(plans.size(), 2u);
  EXPECT_EQ(plans[0].stage, "first");
  EXPECT_TRUE(plans[0].fits());
  ThreadRanks(4).run([&](World& world) {
    const MemoryPlan shared = plan_memory(model, recipe, &world).at(0);
    EXPECT_LT(*shared.available, *plans[0].available / 2);
    EXPECT_LT(shared.optimizer, plans[0].optimizer / 3);
  });
}

}  // namespace
}  // namespace decovec
