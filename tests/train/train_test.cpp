#include "decovec/train/train.hpp"

#include <gtest/gtest.h>
#include <limits>

#include <ATen/ATen.h>

#include "decovec/loss/scored.hpp"
#include "io/temporary_folder.hpp"
#include "train/thread_world.hpp"
#include "train/tiny_run.hpp"
#include "world/ranks.hpp"

namespace decovec {
namespace {

using test::same_weights, test::tiny_model, test::tiny_recipe, test::weights_of;
namespace fs = std::filesystem;

class Train : public testing::Test {
 protected:
  const TemporaryFolder folder_;
  Recipe recipe_ = tiny_recipe(folder_.path());

  std::string error_of(Embedder& model, const TrainOptions& options = {}) {
    try {
      train(model, recipe_, options);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }
};

double largest_difference(const Embedder& a, const Embedder& b) {
  const std::vector<at::Tensor> left = weights_of(a), right = weights_of(b);
  double largest = 0;
  for (size_t i = 0; i < left.size(); ++i)
    largest = std::max(largest, (left[i] - right[i]).abs().max().item<double>());
  return largest;
}

TEST_F(Train, ASetWithoutAnyNegativeIsRefused) {
  Embedder model = tiny_model();
  recipe_.data[0].in_batch_negatives = false;
  recipe_.data[0].negatives = 0;
  EXPECT_NE(error_of(model).find("nothing to learn from"), std::string::npos) << error_of(model);
}

TEST_F(Train, ALossThatWantsARowsOwnNegativesIsRefusedWithoutThem) {
  Embedder model = tiny_model();
  recipe_.stages.resize(1);
  recipe_.stages[0].losses = {{.description = "triplet()", .contrast = Contrast::own}};
  recipe_.data[0].negatives = 0;
  const std::string error = error_of(model);
  EXPECT_TRUE(has(error, "data set 'definitions'") && has(error, "triplet()")) << error;
  recipe_.stages[0].losses = {{.description = "cosent()", .contrast = Contrast::none}};
  recipe_.data[0].in_batch_negatives = false;
  EXPECT_EQ(error_of(model).find("nothing to learn from"), std::string::npos);
}

TEST_F(Train, ReportsEachStepAndLowersTheLoss) {
  recipe_.stages[0].steps = 60;
  std::vector<StepReport> reports;
  Embedder model = tiny_model();
  EXPECT_EQ(train(model, recipe_, {.on_step = [&](const StepReport& report) { reports.push_back(report); }}),
            TrainResult::finished);
  ASSERT_EQ(reports.size(), 63u);
  EXPECT_EQ(reports[0].stage, "first");
  EXPECT_EQ(reports[0].step, 1);
  EXPECT_EQ(reports[0].learning_rate, 5e-3);
  EXPECT_EQ(reports[62].stage, "second");
  EXPECT_EQ(reports[62].step, 3);
  EXPECT_EQ(reports[62].steps, 3);
  EXPECT_EQ(reports[62].total_step, 63);
  EXPECT_EQ(reports[62].total_steps, 63);
  EXPECT_EQ(reports[62].seconds_left, 0);
  int64_t truncated = 0, masked = 0;
  double last = 0;
  for (const StepReport& report : reports) {
    EXPECT_GT(report.tokens, 50);
    EXPECT_GT(report.gradient_norm, 0);
    EXPECT_GT(report.tokens_per_second, 0);
    truncated += report.truncated;
    masked += report.masked;
    if (report.total_step > 50 && report.total_step <= 60) last += report.loss / 10;
  }
  EXPECT_GT(reports[0].loss, 1.0);  // about fourteen candidates
  EXPECT_LT(last, 0.2);
  EXPECT_GT(truncated, 0);  // the song's definition
  EXPECT_GT(masked, 0);     // "a swimmer" answers two queries
}

// Two losses, each for one of the sets: pairs with scores, and examples of topics.
TEST_F(Train, LearnsFromScoresAndFromOtherSetsAtOnce) {
  std::vector<Example> pairs;
  const std::vector<std::string> texts = {"a whale", "a boat", "an oak", "a song", "a bird"};
  for (size_t i = 0; i < texts.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      pairs.push_back({texts[i], {texts[j]}, {}, {(i + j) % 2 == 0 ? 0.9 : 0.1}, {}});
  std::ofstream out(folder_.path() / "definitions.jsonl");
  for (const Example& pair : pairs)
    out << Json({{"query", pair.query}, {"pos", pair.positives}, {"pos_scores", pair.positive_scores}}).dump()
        << '\n';
  out.close();
  const LossRecipe scored = {.loss = [](const Embeddings& embeddings, const Relation& relation,
                                        FilterCounts*) { return cosine_mse(embeddings, relation); },
                             .description = "cosine_mse()",
                             .weight = 4.0,
                             .data = {"definitions"},
                             .needs_scores = true};
  StageRecipe stage = recipe_.stages[1];
  stage.steps = 60;
  stage.batch_size = 8;
  stage.learning_rate = 1e-2;
  stage.losses = {scored, {.data = {"topics"}}};
  recipe_.stages = {stage};
  std::vector<double> losses;
  Embedder model = tiny_model();
  train(model, recipe_, {.on_step = [&](const StepReport& report) { losses.push_back(report.loss); }});
  EXPECT_GT(losses[0], 0.5);
  EXPECT_LT((losses[57] + losses[58] + losses[59]) / 3, 0.1);

  recipe_.stages[0].losses = {scored};
  recipe_.stages[0].losses[0].data = {};
  EXPECT_EQ(
      error_of(model),
      "train: stage 'second': loss cosine_mse(): data set 'topics', example 1: expected pos_scores and, "
      "with 'neg', neg_scores, which this loss learns from, got none; add them or take another loss");
}

TEST_F(Train, LeavesAModelForInferenceWithPromptsOfItsData) {
  Embedder model = tiny_model();
  model.prompts["old"] = "gone";
  model.default_prompt = "old";
  train(model, recipe_);
  const std::map<std::string, std::string> expected = {
      {"definitions", "find: "}, {"topics", "topic: "}, {"query", "find: "}, {"document", "text: "}};
  EXPECT_EQ(model.prompts, expected);
  EXPECT_EQ(model.default_prompt, "");
  for (const Parameter& parameter : model.parameters()) {
    EXPECT_FALSE(parameter.holder.requires_grad());
    EXPECT_FALSE(parameter.gradient().defined());
  }
  EXPECT_FALSE(model.encode({"a whale"}).requires_grad());
}

TEST_F(Train, IsDeterministicAndFollowsTheSeed) {
  Embedder a = tiny_model(), b = tiny_model(), c = tiny_model();
  train(a, recipe_);
  train(b, recipe_);
  EXPECT_TRUE(same_weights(a, b));
  recipe_.seed = 8;
  train(c, recipe_);
  EXPECT_FALSE(same_weights(a, c));
}

TEST_F(Train, DoesNotDependOnMicroBatchesCheckpointingOrRanks) {
  Embedder expected = tiny_model(Pooling::latent_attention, at::kDouble);
  recipe_.stages[0].micro_batch_tokens = recipe_.stages[1].micro_batch_tokens = 100000;
  train(expected, recipe_);
  recipe_.stages[0].micro_batch_tokens = 33;
  recipe_.stages[1].gradient_checkpointing = true;
  Embedder cut = tiny_model(Pooling::latent_attention, at::kDouble);
  train(cut, recipe_);
  EXPECT_LT(largest_difference(expected, cut), 1e-8);
  ThreadRanks(2).run([&](World& world) {
    Embedder part = tiny_model(Pooling::latent_attention, at::kDouble);
    StepReport last;
    train(part, recipe_, {.on_step = [&](const StepReport& report) { last = report; }, .world = &world});
    EXPECT_LT(largest_difference(expected, part), 1e-8);
    EXPECT_EQ(last.total_step, 7);
  });
}

TEST_F(Train, SavesTheModelAfterAStageThatAsksForIt) {
  recipe_.stages[0].output = folder_.path() / "after_first";
  Embedder model = tiny_model(), after_first = tiny_model();
  train(model, recipe_);
  Recipe shorter = recipe_;
  shorter.stages.pop_back();
  shorter.stages[0].output.clear();
  train(after_first, shorter);
  EXPECT_TRUE(same_weights(Embedder::load(recipe_.stages[0].output), after_first));
  EXPECT_FALSE(same_weights(model, after_first));
  EXPECT_NE(error_of(model).find("output of stage 'first': already there"), std::string::npos);
}

TEST_F(Train, NamesTheExamplesWhereTheLossIsNotFinite) {
  Embedder model = tiny_model();
  const std::vector<int64_t> whale = model.sequence("", "whale").ids,
                             other = model.sequence("", "gravity").ids;
  const auto rare = std::find_if(whale.begin(), whale.end(), [&](int64_t id) {
    return std::find(other.begin(), other.end(), id) == other.end();
  });
  ASSERT_NE(rare, whale.end());
  test::write_jsonl(folder_.path() / "definitions.jsonl",
                    {"definitions", {{"whale", {"gravity"}, {}}, {"gravity", {"gravity gravity"}, {}}}});
  recipe_.data[0].query_prompt = recipe_.data[0].document_prompt = "";
  recipe_.stages[0].batch_size = 2;
  model.transformer.embedding[*rare].fill_(std::numeric_limits<float>::quiet_NaN());
  const std::string error = error_of(model);
  EXPECT_EQ(error,
            "train: stage 'first', step 1: the loss is not finite; 1 of 2 examples: 'definitions' example 1, "
            "query \"whale\"");
  EXPECT_FALSE(model.transformer.embedding.requires_grad());
}

TEST_F(Train, TheRankThatHasTheFaultyExampleTellsIt) {
  test::write_jsonl(
      folder_.path() / "definitions.jsonl",
      {"definitions",
       {{"whale", {"gravity"}, {}}, {"gravity", {"gravity gravity"}, {}}, {"sea", {"sea"}, {}}}});
  recipe_.data[0].query_prompt = recipe_.data[0].document_prompt = "";
  recipe_.stages[0].batch_size = 3;
  for (const bool embedding : {true, false}) {
    std::vector<std::string> errors(3);
    ThreadRanks(3).run([&](World& world) {
      Embedder model = tiny_model();
      const std::vector<int64_t> whale = model.sequence("", "whale").ids;
      at::Tensor row = model.transformer.embedding[whale.back()];
      if (embedding) {
        row.fill_(std::numeric_limits<float>::quiet_NaN());
      } else {
        model.transformer.norm.fill_(1e-25);
      }
      try {
        train(model, recipe_, {.world = &world});
      } catch (const OtherRankFailed&) {
      } catch (const std::runtime_error& error) {
        errors[static_cast<size_t>(world.rank())] = error.what();
      }
    });
    std::erase(errors, "");
    ASSERT_EQ(errors.size(), 1u);
    if (embedding) {
      EXPECT_TRUE(has(errors[0], "step 1: the loss is not finite; "));
      EXPECT_TRUE(has(errors[0], "'definitions' example 1, query \"whale\""));
    } else {
      EXPECT_TRUE(has(errors[0], "the norm of the gradient is not finite; "));
    }
  }
}

TEST_F(Train, NamesTheStepWhereOnlyTheGradientIsNotFinite) {
  Embedder model = tiny_model();
  model.transformer.norm.fill_(1e-25);  // so short that normalising multiplies the gradient by 1e24
  const std::string error = error_of(model);
  EXPECT_TRUE(error.starts_with("train: stage 'first', step 1: the norm of the gradient is not finite; "))
      << error;
}

TEST_F(Train, StopsWhereTheWeightsDivergeAndKeepsTheLastCheckpoint) {
  recipe_.checkpoint_every = 1;
  recipe_.stages[0].optimizer = Optimizer::sgd;
  recipe_.stages[0].learning_rate = 1e30;
  recipe_.stages[0].clip = 0;
  Embedder model = tiny_model();
  const std::string error = error_of(model, {.checkpoints = folder_.path() / "checkpoints"});
  EXPECT_TRUE(
      has(error, "train: stage 'first', after step 2: 'embed_tokens.weight': expected finite numbers"));
  EXPECT_TRUE(fs::exists(folder_.path() / "checkpoints" / "step-1" / "model"));
}

TEST_F(Train, NeverEndsWithWeightsThatAreNotFinite) {
  recipe_.stages.resize(1);
  recipe_.stages[0].steps = 1;
  recipe_.stages[0].warmup_steps = 0;
  recipe_.stages[0].schedule = Schedule::constant;
  recipe_.stages[0].learning_rate = 1e39;
  recipe_.stages[0].output = folder_.path() / "output";
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    Embedder model = tiny_model(Pooling::mean, type);
    EXPECT_TRUE(
        has(error_of(model), "train: stage 'first', after step 1: 'embed_tokens.weight': expected finite"));
    EXPECT_FALSE(fs::exists(folder_.path() / "output"));
  }
}

TEST_F(Train, LossesFitTheVectors) {
  Embedder model = tiny_model();
  const int64_t width = model.dimensions();
  recipe_.stages[0].losses[0].least_columns = width + 1;
  EXPECT_TRUE(
      has(error_of(model), fmt::format("train: stage 'first': loss info_nce(): matryoshka: dimensions: "
                                       "expected 1 to the model's {}, got {}",
                                       width, width + 1)));
  recipe_.stages[0].losses[0].least_columns = width;
  EXPECT_EQ(error_of(model), "");
}

TEST_F(Train, ThePromptLeavesRoomForTheText) {
  Embedder model = tiny_model();
  const std::string long_prompt = "one two three four five six seven eight nine ten eleven twelve thirteen: ";
  recipe_.data[1].document_prompt = long_prompt;
  EXPECT_TRUE(has(error_of(model),
                  "train: data set 'topics': document_prompt: with the special tokens, the prompt fills "
                  "max_length = 24 and "
                  "leaves no room"));
  model.rule.max_length = 200;
  EXPECT_EQ(error_of(model), "");
}

TEST_F(Train, RefusesOutputsThatAreNotApart) {
  Embedder model = tiny_model();
  recipe_.stages[0].output = folder_.path() / "a";
  for (const fs::path& other : {folder_.path() / "a" / "", folder_.path() / "b" / ".." / "a" / "inner"}) {
    recipe_.stages[1].output = other;
    EXPECT_TRUE(has(error_of(model),
                    "output of stage 'second': expected a place apart from output of stage 'first'"));
  }
  recipe_.stages[1].output = folder_.path() / "checkpoints" / "step-7";
  EXPECT_TRUE(
      has(error_of(model, {.checkpoints = folder_.path() / "checkpoints"}), "apart from checkpoints"));
  EXPECT_FALSE(fs::exists(folder_.path() / "checkpoints"));
  fs::create_symlink("nowhere", folder_.path() / "link");
  recipe_.stages[1].output = folder_.path() / "link";
  EXPECT_TRUE(has(error_of(model), "output of stage 'second': already there"));
}

TEST_F(Train, RefusesRecipesItCannotFollow) {
  Embedder model = tiny_model();
  const Recipe good = recipe_;
  const auto expect_error = [&](const std::string& part, const std::function<void(Recipe&)>& change) {
    recipe_ = good;
    change(recipe_);
    EXPECT_NE(error_of(model).find(part), std::string::npos) << error_of(model);
  };
  expect_error("at least one stage", [](Recipe& r) { r.stages.clear(); });
  expect_error("at least one data set", [](Recipe& r) { r.data.clear(); });
  expect_error("data set 'query'", [](Recipe& r) { r.data[0].name = "query"; });
  expect_error("data set 'other'", [](Recipe& r) { r.stages[0].data = {"other"}; });
  expect_error("stage 'first': batch_size", [](Recipe& r) { r.stages[0].batch_size = 0; });
  expect_error("stage 'first': batch_size (queries over all ranks): expected 1 to 1048576, got 1048577",
               [](Recipe& r) { r.stages[0].batch_size = 1048577; });
  expect_error("stage 'second': micro_batch_tokens", [](Recipe& r) { r.stages[1].micro_batch_tokens = 0; });
  expect_error("stage 'first': steps", [](Recipe& r) { r.stages[0].steps = 0; });
  expect_error("stage 'first': losses: expected at least one", [](Recipe& r) { r.stages[0].losses.clear(); });
  expect_error("stage 'first': loss info_nce(): weight: expected a number above 0",
               [](Recipe& r) { r.stages[0].losses[0].weight = 0; });
  expect_error("stage 'first': loss info_nce(): expected data sets of the stage, got 'topics'",
               [](Recipe& r) { r.stages[0].losses[0].data = {"topics"}; });
  expect_error("stage 'first': hidden_dropout: expected a share from 0 to below 1, got 1",
               [](Recipe& r) { r.stages[0].hidden_dropout = 1; });
  expect_error("stage 'first': layer_decay: expected a number above 0, at most 1, got 0",
               [](Recipe& r) { r.stages[0].layer_decay = 0; });
  expect_error("absent.jsonl", [](Recipe& r) { r.data[0].files = {"absent.jsonl"}; });
}

}  // namespace
}  // namespace decovec
