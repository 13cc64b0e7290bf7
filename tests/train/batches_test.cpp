// How batches are drawn and made, through whole runs.
#include <atomic>
#include <gtest/gtest.h>

#include "decovec/loss/cosent.hpp"
#include "io/temporary_folder.hpp"
#include "train/batches_ahead.hpp"
#include "train/checkpoint.hpp"
#include "train/thread_world.hpp"
#include "train/tiny_run.hpp"

namespace decovec {
namespace {

using test::same_weights, test::tiny_model, test::tiny_recipe, test::weights_of;
namespace fs = std::filesystem;

PreparedBatch numbered(int64_t step) {
  PreparedBatch batch;
  batch.positions = {step};
  return batch;
}

TEST(BatchesAhead, GiveEveryStepItsBatchInOrder) {
  for (const bool ahead : {false, true}) {
    std::vector<int64_t> made;  // calls never overlap
    {
      BatchesAhead batches(
          [&](int64_t step) {
            made.push_back(step);
            return numbered(step);
          },
          3, 6, ahead);
      for (int64_t step = 3; step <= 6; ++step)
        EXPECT_EQ(batches.next().positions, std::vector<int64_t>{step});
    }
    EXPECT_EQ(made, (std::vector<int64_t>{3, 4, 5, 6})) << "none past the last";
  }
}

TEST(BatchesAhead, MakeTheNextBatchMeanwhile) {
  std::atomic<int64_t> made = 0;
  const auto make = [&](int64_t step) {
    made = step;
    made.notify_all();
    return numbered(step);
  };
  BatchesAhead batches(make, 1, 9, true);
  batches.next();
  made.wait(1);  // or this hangs
  EXPECT_EQ(made, 2);
  made = 0;
  BatchesAhead one_by_one(make, 1, 9, false);
  one_by_one.next();
  EXPECT_EQ(made, 1);
}

TEST(BatchesAhead, ErrorsBelongToTheirStep) {
  const auto make = [](int64_t step) {
    if (step == 3) throw std::runtime_error("the third");
    return numbered(step);
  };
  for (const bool ahead : {false, true}) {
    BatchesAhead batches(make, 1, 9, ahead);
    batches.next();
    batches.next();
    EXPECT_THROW(batches.next(), std::runtime_error);
    BatchesAhead dropped(make, 2, 9, ahead);
    dropped.next();  // the third fails unseen
  }
}

TEST(BatchesAhead, EndWaitsForTheBatchThatIsBeingMade) {
  std::atomic<int> done = 0;
  {
    BatchesAhead batches(
        [&](int64_t step) {
          if (step > 1) std::this_thread::sleep_for(std::chrono::milliseconds(50));
          ++done;
          return numbered(step);
        },
        1, 9, true);
    batches.next();
  }
  EXPECT_EQ(done, 2);
}

/// The tiny recipe with texts of topics and pairs with scores beside the definitions, in one stage.
class Batches : public testing::Test {
 protected:
  Batches() {
    write("texts.jsonl", {{"the sea is deep", "nature", 0},
                          {"a verb is a word", "language", 0},
                          {"they sing a song", "music", 0},
                          {"the forest is green", "nature", 0},
                          {"she plays the violin", "music", 0},
                          {"a noun names a thing", "language", 0},
                          {"rain falls on the hill", "nature", 0}});
    write("pairs.jsonl", {{"a large ship", "a big ship", 5},
                          {"a tree", "an oak tree", 4},
                          {"a bird sings", "a man runs", 0.5},
                          {"the sea", "a sea", 4.5},
                          {"a word", "a small boat", 1}});
    recipe_.data.push_back({.name = "texts",
                            .files = {folder_.path() / "texts.jsonl"},
                            .query_prompt = "classify: ",
                            .document_prompt = "classify: ",
                            .kind = DataKind::classification,
                            .in_batch_negatives = true,
                            .negatives = 2});
    recipe_.data.push_back({.name = "pairs",
                            .files = {folder_.path() / "pairs.jsonl"},
                            .query_prompt = "",
                            .document_prompt = "",
                            .kind = DataKind::sts,
                            .threshold = 4.0});
    recipe_.stages.erase(recipe_.stages.begin());
    stage().steps = 12;
    stage().batch_size = 6;
  }

  StageRecipe& stage() { return recipe_.stages[0]; }

  void write(const char* name, const std::vector<std::tuple<std::string, std::string, double>>& lines) const {
    std::ofstream out(folder_.path() / name);
    for (const auto& [query, positive, score] : lines) {
      Json line = {{"query", query}, {"pos", {positive}}};
      if (score > 0) line["pos_scores"] = {score};
      out << line.dump() << '\n';
    }
  }

  /// Losses of all steps.
  std::vector<double> run(Embedder& model, TrainOptions options = {}) const {
    std::vector<double> losses;
    options.on_step = [&](const StepReport& report) { losses.push_back(report.loss); };
    train(model, recipe_, options);
    return losses;
  }

  std::string error() const {
    Embedder model = tiny_model();
    try {
      train(model, recipe_);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "no error";
  }

  const TemporaryFolder folder_;
  Recipe recipe_ = tiny_recipe(folder_.path());
};

TEST_F(Batches, PreparedAheadTrainTheSame) {
  Embedder ahead = tiny_model(), in_turn = tiny_model();
  EXPECT_EQ(run(ahead, {.prepare_ahead = true}), run(in_turn, {.prepare_ahead = false}));
  EXPECT_TRUE(same_weights(ahead, in_turn));
}

TEST_F(Batches, AnErrorInTheMiddleWaitsForNothingButTheBatchThatIsBeingMade) {
  Embedder model = tiny_model();
  int64_t steps = 0;
  const auto stop_at_third = [&](const StepReport&) {
    if (++steps == 3) throw std::runtime_error("enough");
  };
  EXPECT_THROW(train(model, recipe_, {.on_step = stop_at_third}), std::runtime_error);
  EXPECT_EQ(steps, 3);
}

TEST_F(Batches, OfEveryKindTrainTheSameOnAnyRanks) {
  for (const double ratio : {0.0, 0.5, 1.0}) {
    stage().homogeneous_ratio = ratio;
    stage().steps = 5;
    Embedder alone = tiny_model(Pooling::mean, at::kDouble);
    const std::vector<double> expected = run(alone);
    ThreadRanks(2).run([&](World& world) {
      Embedder model = tiny_model(Pooling::mean, at::kDouble);
      const std::vector<double> losses = run(model, {.world = &world});
      for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(losses.at(i), expected[i], 1e-10);
    });
  }
}

TEST_F(Batches, AStoppedRunGoesOnWithTheBatchesThatItDidNotTrain) {
  stage().homogeneous_ratio = 0.5;
  stage().size_exponent = 0.5;
  recipe_.data[0].max_examples = 4;
  Embedder whole = tiny_model();
  const std::vector<double> expected = run(whole);
  for (const int64_t last : {1, 4, 11}) {
    const fs::path checkpoints = folder_.path() / fmt::format("checkpoints{}", last);
    std::stop_source source;
    std::vector<double> losses;
    TrainOptions options = {.checkpoints = checkpoints, .stop = source.get_token()};
    options.on_step = [&](const StepReport& report) {
      losses.push_back(report.loss);
      if (report.step == last) source.request_stop();
    };
    Embedder first = tiny_model(), second = tiny_model();
    EXPECT_EQ(train(first, recipe_, options), TrainResult::stopped);
    const std::vector<double> rest = run(second, {.checkpoints = checkpoints, .resume = true});
    losses.insert(losses.end(), rest.begin(), rest.end());
    EXPECT_EQ(losses, expected) << last;
    EXPECT_TRUE(same_weights(whole, second)) << last;
  }
}

TEST_F(Batches, ARunIsResumedWithTheSameKindsAndBatchesAlone) {
  recipe_.checkpoint_every = 0;
  std::stop_source source;
  source.request_stop();
  const fs::path checkpoints = folder_.path() / "checkpoints";
  Embedder model = tiny_model();
  train(model, recipe_, {.checkpoints = checkpoints, .stop = source.get_token()});
  const Recipe begun = recipe_;
  const auto expect_difference = [&](const std::string& key, const std::function<void(Recipe&)>& change) {
    recipe_ = begun;
    change(recipe_);
    Embedder resumed = tiny_model();
    try {
      run(resumed, {.checkpoints = checkpoints, .resume = true});
      FAIL() << key;
    } catch (const std::runtime_error& error) {
      EXPECT_NE(std::string(error.what()).find(key + ": the checkpoint has"), std::string::npos)
          << error.what();
    }
  };
  expect_difference("stage.second.homogeneous_ratio", [](Recipe& r) { r.stages[0].homogeneous_ratio = 1; });
  expect_difference("stage.second.size_exponent", [](Recipe& r) { r.stages[0].size_exponent = 1; });
  expect_difference("data.definitions.max_examples", [](Recipe& r) { r.data[0].max_examples = 3; });
  expect_difference("data.texts.kind", [](Recipe& r) { r.data[2].kind = DataKind::clustering; });
  expect_difference("data.pairs.threshold", [](Recipe& r) { r.data[3].threshold = 4.2; });
}

TEST_F(Batches, LearnClassesFromExamples) {
  stage().data = {"texts"};
  stage().steps = 60;
  stage().learning_rate = 1e-2;
  recipe_.data[2].in_batch_negatives = false;
  Embedder model = tiny_model();
  const std::vector<double> losses = run(model);
  EXPECT_GT(losses[0], 0.8);  // of log 3
  EXPECT_LT((losses[57] + losses[58] + losses[59]) / 3, 0.2);
}

TEST_F(Batches, PairsNeedAThresholdOrALossOfScores) {
  stage().data = {"pairs"};
  recipe_.data[3].threshold.reset();
  EXPECT_EQ(error(),
            "train: data set 'pairs': expected a threshold, from which on pairs are right answers, or a loss "
            "that learns from scores, got info_nce() and none");
  stage().losses = {{.description = "cosent()", .needs_scores = true, .contrast = Contrast::none}};
  stage().losses[0].loss = [](const Embeddings& embeddings, const Relation& relation, FilterCounts*) {
    return cosent(embeddings, relation);
  };
  EXPECT_EQ(error(), "no error");
  recipe_.data[3].threshold = 4.9;
  EXPECT_EQ(error(), "no error");
  recipe_.data[3].threshold = 6;
  EXPECT_EQ(error(),
            "data set 'pairs': expected pairs with a score of the threshold 6 or more, got none of 5");
}

TEST_F(Batches, WhatCannotBeSampledIsRefusedBeforeTheFirstStep) {
  const Recipe good = recipe_;
  const auto expect_error = [&](const std::string& part, const std::function<void(Recipe&)>& change) {
    recipe_ = good;
    change(recipe_);
    EXPECT_NE(error().find(part), std::string::npos) << error();
  };
  expect_error("homogeneous_ratio: expected 0 to 1, got 1.5", [](Recipe& r) {
    r.stages.push_back(r.stages[0]);
    r.stages[0].steps = int64_t{1} << 40;  // never reached
    r.stages[1].homogeneous_ratio = 1.5;
  });
  expect_error("data set 'topics': max_examples: expected 0 (all) or more, got -1",
               [](Recipe& r) { r.data[1].max_examples = -1; });
  expect_error("data set 'topics': threshold: expected none but for sts, got 4",
               [](Recipe& r) { r.data[1].threshold = 4; });
  expect_error("data set 'definitions': expected one label for each text",
               [](Recipe& r) { r.data[0].kind = DataKind::clustering; });
}

}  // namespace
}  // namespace decovec
