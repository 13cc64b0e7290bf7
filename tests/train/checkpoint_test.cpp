#include "train/checkpoint.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "decovec/train/train.hpp"
#include "io/file.hpp"
#include "train/thread_world.hpp"
#include "train/tiny_run.hpp"

namespace decovec {
namespace {

using test::same_weights, test::tiny_model, test::tiny_recipe;
using Steps = std::vector<int64_t>;
namespace fs = std::filesystem;

class Checkpoint : public testing::Test {
 protected:
  const test::TemporaryFolder folder_;
  const fs::path checkpoints_ = folder_.path() / "checkpoints";
  Recipe recipe_ = tiny_recipe(folder_.path());

  /// Trains until `step` of all steps is done, then stops.
  TrainResult train_until(Embedder& model, int64_t step, bool resume = false, World* world = nullptr) {
    std::stop_source stop;
    if (step == 0) stop.request_stop();
    return train(model, recipe_,
                 {.checkpoints = checkpoints_,
                  .resume = resume,
                  .on_step =
                      [&](const StepReport& report) {
                        if (report.total_step == step) stop.request_stop();
                      },
                  .stop = stop.get_token(),
                  .world = world});
  }

  std::string resume_error(Embedder model) {
    try {
      train(model, recipe_, {.checkpoints = checkpoints_, .resume = true});
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  }

  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const fs::directory_entry& entry : fs::directory_iterator(checkpoints_))
      found.push_back(entry.path().filename().string());
    return found;
  }
};

TEST_F(Checkpoint, AResumedRunEqualsAnUninterruptedOneBitForBit) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Pooling pooling : {Pooling::mean, Pooling::latent_attention}) {
      recipe_.stages[1].optimizer = pooling == Pooling::mean ? Optimizer::adamw : Optimizer::sgd;
      Embedder whole = tiny_model(pooling, type);
      std::vector<double> losses;
      train(whole, recipe_, {.on_step = [&](const StepReport& report) { losses.push_back(report.loss); }});
      const bool every_step = type == at::kFloat && pooling == Pooling::mean;
      for (const int64_t step : every_step ? Steps{0, 1, 2, 3, 4, 5, 6} : Steps{3, 5}) {
        fs::remove_all(checkpoints_);
        Embedder interrupted = tiny_model(pooling, type);
        ASSERT_EQ(train_until(interrupted, step), TrainResult::stopped);
        EXPECT_EQ(names(), (std::vector<std::string>{fmt::format("step-{}", step)}));
        Embedder resumed = tiny_model(pooling, type);
        ASSERT_EQ(train(resumed, recipe_,
                        {.checkpoints = checkpoints_,
                         .resume = true,
                         .on_step =
                             [&](const StepReport& report) {
                               EXPECT_EQ(report.loss, losses[static_cast<size_t>(report.total_step) - 1]);
                             }}),
                  TrainResult::finished);
        EXPECT_TRUE(same_weights(whole, resumed)) << c10::toString(type) << " after step " << step;
      }
    }
  }
}

TEST_F(Checkpoint, HoldsALoadableModelWithItsPrompts) {
  Embedder model = tiny_model();
  train_until(model, 2);
  const Embedder loaded = Embedder::load(checkpoints_ / "step-2" / "model");
  EXPECT_TRUE(same_weights(model, loaded));
  EXPECT_EQ(loaded.prompt("definitions"), "find: ");
}

TEST_F(Checkpoint, IsWrittenAsOftenAsAskedAndWhereAStageBegins) {
  recipe_.checkpoint_every = 3;
  std::vector<std::vector<std::string>> seen;
  Embedder model = tiny_model();
  train(model, recipe_, {.checkpoints = checkpoints_, .on_step = [&](const StepReport&) {
                           seen.push_back(fs::exists(checkpoints_) ? names() : std::vector<std::string>{});
                         }});
  const std::vector<std::vector<std::string>> expected = {{},         {},         {},        {"step-3"},
                                                          {"step-4"}, {"step-4"}, {"step-6"}};
  EXPECT_EQ(seen, expected);
}

TEST_F(Checkpoint, MicroBatchesMayChangeAtAResume) {
  Embedder model = tiny_model();
  train_until(model, 2);
  recipe_.stages[0].micro_batch_tokens = 1000;
  recipe_.stages[0].gradient_checkpointing = true;
  EXPECT_EQ(train_until(model, -1, true), TrainResult::finished);
}

TEST_F(Checkpoint, ADifferentRecipeIsRefusedWithTheDifference) {
  Embedder model = tiny_model();
  train_until(model, 2);
  const Recipe good = recipe_;
  const auto expect_error = [&](const std::string& part, const std::function<void(Recipe&)>& change) {
    recipe_ = good;
    change(recipe_);
    const std::string error = resume_error(tiny_model());
    EXPECT_NE(error.find(part), std::string::npos) << error;
  };
  expect_error("seed: the checkpoint has 7, the recipe 8", [](Recipe& r) { r.seed = 8; });
  expect_error("stage.first.batch_size: the checkpoint has 5, the recipe 6",
               [](Recipe& r) { r.stages[0].batch_size = 6; });
  expect_error("stage.second.learning_rate", [](Recipe& r) { r.stages[1].learning_rate = 1; });
  expect_error("stages: the checkpoint has [\"first\",\"second\"], the recipe [\"first\"]",
               [](Recipe& r) { r.stages.pop_back(); });
  expect_error("data.definitions.negatives", [](Recipe& r) { r.data[0].negatives = 1; });
  expect_error("stage.first.data", [](Recipe& r) {
    r.data[0].name = "meanings";
    r.stages[0].data = {"meanings"};
  });
  recipe_ = good;
  EXPECT_NE(resume_error(tiny_model(Pooling::last_token)).find("pooling"), std::string::npos);
  EXPECT_NE(resume_error(tiny_model(Pooling::mean, at::kBFloat16)).find("dtype"), std::string::npos);
  test::write_jsonl(folder_.path() / "topics.jsonl", {"topics", {{"a", {"b"}, {}}}});
  EXPECT_NE(resume_error(tiny_model()).find("data.topics"), std::string::npos);
}

TEST_F(Checkpoint, StandsInTheWayOfANewRunAndIsNeededForAResumedOne) {
  EXPECT_NE(resume_error(tiny_model()).find("no checkpoint to resume from"), std::string::npos);
  Embedder model = tiny_model();
  train_until(model, 2);
  EXPECT_THROW(train(model, recipe_, {.checkpoints = checkpoints_}), std::runtime_error);
  EXPECT_THROW(train(model, recipe_, {.resume = true}), std::invalid_argument);
}

TEST_F(Checkpoint, TheNewestWholeOneCounts) {
  EXPECT_FALSE(newest_checkpoint(checkpoints_).has_value());
  for (const char* name :
       {"step-9", "step-10", "step-x", "step-", "step-11", "other-12", "step-99999999999999999999"})
    fs::create_directories(checkpoints_ / name);
  for (const char* name : {"step-9", "step-10", "step-x"})
    write_file(checkpoints_ / name / "training.json", "{}");
  EXPECT_EQ(newest_checkpoint(checkpoints_), checkpoints_ / "step-10");
}

TEST_F(Checkpoint, BrokenFilesGiveOneClearError) {
  Embedder model = tiny_model();
  train_until(model, 2);
  const fs::path step = checkpoints_ / "step-2";
  const auto expect_error = [&](const std::string& file,
                                const std::function<std::string(std::string)>& change,
                                const std::string& part) {
    const std::string good = read_file(step / file);
    write_file(step / file, change(good));
    const std::string error = resume_error(tiny_model());
    EXPECT_NE(error.find(part), std::string::npos) << file << ": " << error;
    write_file(step / file, good);
  };
  const auto set = [](const char* key, const Json& value) {
    return [=](const std::string& text) {
      Json json = Json::parse(text);
      json[key] = value;
      return json.dump();
    };
  };
  const auto half = [](const std::string& text) { return text.substr(0, text.size() / 2); };
  expect_error("optimizer.safetensors", half, "optimizer.safetensors");
  expect_error("model/model.safetensors", half, "model.safetensors");
  expect_error("training.json", half, "training.json");
  expect_error("training.json", set("format", 2), "another version");
  expect_error("training.json", set("stage", 2), "stage");
  expect_error("training.json", set("step", 5), "step");
  expect_error("training.json", set("step", -1), "step");
  expect_error("training.json", set("positions", {1, 2}), "positions");
  expect_error("training.json", set("positions", {-1}), "positions");
  expect_error("training.json", set("positions", "all"), "positions");
  expect_error("training.json", set("recipe", 3), "recipe");
  EXPECT_EQ(resume_error(tiny_model()), "");
}

TEST_F(Checkpoint, RanksStopAndResumeTogether) {
  Embedder whole = tiny_model();
  ThreadRanks(2).run([&](World& world) {
    Embedder part = tiny_model();
    train(part, recipe_, {.world = &world});
    if (world.rank() == 0) whole = std::move(part);
  });
  ThreadRanks(2).run([&](World& world) {
    Embedder part = tiny_model();
    // Only rank 0 is asked to stop.
    EXPECT_EQ(train_until(part, world.rank() == 0 ? 3 : -1, false, &world), TrainResult::stopped);
  });
  EXPECT_EQ(names(), std::vector<std::string>{"step-3"});
  ThreadRanks(2).run([&](World& world) {
    Embedder part = tiny_model();
    EXPECT_EQ(train_until(part, -1, true, &world), TrainResult::finished);
    EXPECT_TRUE(same_weights(whole, part));
  });
}

}  // namespace
}  // namespace decovec
