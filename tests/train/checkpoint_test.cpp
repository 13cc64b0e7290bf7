#include "train/checkpoint.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <limits>

#include <ATen/ATen.h>

#include "decovec/io/safetensors.hpp"
#include "decovec/io/tensor_files.hpp"
#include "decovec/train/train.hpp"
#include "io/file.hpp"
#include "io/temporary_folder.hpp"
#include "train/thread_world.hpp"
#include "train/tiny_run.hpp"

namespace decovec {
namespace {

using test::same_weights, test::tiny_model, test::tiny_recipe;
using Steps = std::vector<int64_t>;
namespace fs = std::filesystem;

class Checkpoint : public testing::Test {
 protected:
  const TemporaryFolder folder_;
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
    std::sort(found.begin(), found.end());
    return found;
  }

  /// Trains, and ends as a killed process does in the step after `step`: without a checkpoint of its own.
  void break_off_after(int64_t step) {
    Embedder model = tiny_model();
    EXPECT_THROW(train(model, recipe_,
                       {.checkpoints = checkpoints_,
                        .on_step =
                            [&](const StepReport& report) {
                              if (report.total_step > step) throw std::logic_error("killed");
                            }}),
                 std::logic_error);
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

// The base is as the run began with it, so the checkpoint holds the trained part alone.
TEST_F(Checkpoint, AdaptersWithDropoutResumeBitForBit) {
  recipe_.merge_output = true;  // a latent attention has no place in an adapter's folder
  for (StageRecipe& stage : recipe_.stages) stage.hidden_dropout = 0.1;
  recipe_.stages[0].layer_decay = 0.7;
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const bool dora : {false, true}) {
      recipe_.lora =
          AdapterConfig{.rank = 3, .dropout = 0.2, .dora = dora, .targets = {.pattern = "all-linear"}};
      const Pooling pooling = dora ? Pooling::mean : Pooling::latent_attention;
      Embedder whole = tiny_model(pooling, type);
      train(whole, recipe_);
      for (const int64_t step : {0, 2, 4, 6}) {
        fs::remove_all(checkpoints_);
        Embedder interrupted = tiny_model(pooling, type), resumed = tiny_model(pooling, type);
        ASSERT_EQ(train_until(interrupted, step), TrainResult::stopped);
        const fs::path saved = checkpoints_ / fmt::format("step-{}", step);
        EXPECT_FALSE(fs::exists(saved / "model"));
        for (const std::string& name : TensorFiles::open(saved / "trained.safetensors").names())
          EXPECT_TRUE(is_adapter_weight(name) || name.starts_with("latent_attention_model.")) << name;
        ASSERT_EQ(train_until(resumed, -1, true), TrainResult::finished);
        EXPECT_TRUE(same_weights(whole, resumed)) << c10::toString(type) << " after step " << step;
      }
    }
  }
}

TEST_F(Checkpoint, AnotherAdapterOrBaseIsRefusedWithTheDifference) {
  recipe_.merge_output = true;
  recipe_.lora = AdapterConfig{.rank = 3, .targets = {.pattern = "all-linear"}};
  Embedder model = tiny_model();
  train_until(model, 2);
  const Recipe good = recipe_;
  const auto error_with = [&](const std::function<void(AdapterConfig&)>& change) {
    recipe_ = good;
    change(*recipe_.lora);
    return resume_error(tiny_model());
  };
  EXPECT_TRUE(has(error_with([](AdapterConfig& lora) { lora.alpha = 9; }),
                  "adapter.lora_alpha: the checkpoint has 8, this run 9"));
  EXPECT_TRUE(has(error_with([](AdapterConfig& lora) { lora.dropout = 0.5; }), "adapter.lora_dropout"));
  EXPECT_TRUE(has(error_with([](AdapterConfig& lora) { lora.dora = true; }), "adapter.use_dora"));
  recipe_ = good;
  recipe_.lora.reset();
  EXPECT_TRUE(has(resume_error(tiny_model()), "adapter: the checkpoint has"));
  recipe_ = good;
  Embedder other = tiny_model();
  other.transformer.norm.mul_(1.5);
  EXPECT_TRUE(has(resume_error(other), "starting_weights"));
  fs::remove(checkpoints_ / "step-2/trained.safetensors");
  EXPECT_NE(resume_error(tiny_model()), "");
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
  train(model, recipe_,
        {.checkpoints = checkpoints_, .on_step = [&](const StepReport&) { seen.push_back(names()); }});
  const std::vector<std::vector<std::string>> expected = {
      {"lock"},           {"lock"},           {"lock"},          {"lock", "step-3"},
      {"lock", "step-4"}, {"lock", "step-4"}, {"lock", "step-6"}};
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(names(), std::vector<std::string>{"step-7"});
}

TEST_F(Checkpoint, MicroBatchesMayChangeAtAResume) {
  Embedder model = tiny_model(), resumed = tiny_model();
  train_until(model, 2);
  recipe_.stages[0].micro_batch_tokens = 1000;
  recipe_.stages[0].gradient_checkpointing = true;
  EXPECT_EQ(train_until(resumed, -1, true), TrainResult::finished);
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
  expect_error("seed: the checkpoint has 7, this run 8", [](Recipe& r) { r.seed = 8; });
  expect_error("stage.first.batch_size: the checkpoint has 5, this run 6",
               [](Recipe& r) { r.stages[0].batch_size = 6; });
  expect_error("stage.second.learning_rate", [](Recipe& r) { r.stages[1].learning_rate = 1; });
  expect_error("stages: the checkpoint has [\"first\",\"second\"], this run [\"first\"]",
               [](Recipe& r) { r.stages.pop_back(); });
  expect_error("data.definitions.negatives", [](Recipe& r) { r.data[0].negatives = 1; });
  expect_error("stage.first.data", [](Recipe& r) {
    r.data[0].name = "meanings";
    r.stages[0].data = {"meanings"};
  });
  recipe_ = good;
  EXPECT_NE(resume_error(tiny_model(Pooling::last_token)).find("pooling"), std::string::npos);
  EXPECT_NE(resume_error(tiny_model(Pooling::mean, at::kBFloat16)).find("dtype"), std::string::npos);
  test::write_jsonl(folder_.path() / "topics.jsonl", {"topics", {{"a", {"b"}, {"c"}}}});
  EXPECT_TRUE(has(resume_error(tiny_model()), "data.topics"));
}

TEST_F(Checkpoint, ADifferentModelIsRefusedWithTheDifference) {
  for (StageRecipe& stage : recipe_.stages) stage.optimizer = Optimizer::sgd;  // which holds no tensors
  const auto expect_error = [&](const std::string& part, Pooling pooling,
                                const std::function<void(ModelConfig&)>& change,
                                const LatentAttentionConfig& latents = {
                                    .latents = 5, .heads = 2, .head_dim = 8, .latent_dim = 12}) {
    fs::remove_all(checkpoints_);
    Embedder model = tiny_model(pooling);
    train_until(model, 2);
    ModelConfig config = tiny_model(pooling).transformer.config;
    change(config);
    Embedder other = Embedder::create(config, model.tokenizer,
                                      {.pooling = pooling, .max_length = 24, .latent_attention = latents});
    EXPECT_TRUE(has(resume_error(std::move(other)), part));
  };
  const auto nothing = [](ModelConfig&) {};
  expect_error("model.config.json.head_dim: the checkpoint has 8, this run 4", Pooling::mean,
               [](ModelConfig& config) {
                 config.heads = 4;
                 config.kv_heads = 2;
                 config.head_dim = 4;
               });
  expect_error("rope_theta", Pooling::mean, [](ModelConfig& config) { config.rope.theta = 5e5; });
  expect_error("rms_norm_eps", Pooling::mean, [](ModelConfig& config) { config.norm_epsilon = 1e-6; });
  expect_error("sliding_window", Pooling::mean, [](ModelConfig& config) { config.sliding_window = 4; });
  expect_error("num_hidden_layers", Pooling::mean, [](ModelConfig& config) { config.layers = 1; });
  expect_error("latent_attention_config.cross_dim_head: the checkpoint has 8, this run 4",
               Pooling::latent_attention, nothing,
               {.latents = 5, .heads = 4, .head_dim = 4, .latent_dim = 12});
  EXPECT_EQ(resume_error(tiny_model(Pooling::latent_attention)), "");
}

TEST_F(Checkpoint, OtherStartingWeightsAreRefused) {
  Embedder model = tiny_model();
  train_until(model, 2);
  EXPECT_TRUE(has(resume_error(std::move(model)), "starting_weights: the checkpoint has"));
  Embedder other = tiny_model();
  other.transformer.layers[1].down.weight[3][5] += 1e-3;
  EXPECT_TRUE(has(resume_error(std::move(other)), "starting_weights: the checkpoint has"));
}

TEST_F(Checkpoint, AnotherTokenizerIsRefused) {
  struct Shouting : Tokenizer {  // reads and is saved differently
    explicit Shouting(std::shared_ptr<const Tokenizer> of) : of(std::move(of)) {}
    std::vector<int64_t> ids(std::string_view text) const override {
      return of->ids(std::string(text) + "!");
    }
    int64_t size() const override { return of->size(); }
    std::optional<int64_t> bos() const override { return of->bos(); }
    std::optional<int64_t> eos() const override { return of->eos(); }
    bool is_special(int64_t id) const override { return of->is_special(id); }
    void save(const SequenceRule& rule, const fs::path& folder) const override {
      of->save(rule, folder);
      write_file(folder / "tokenizer.json", read_file(folder / "tokenizer.json") + " ");
    }
    std::shared_ptr<const Tokenizer> of;
  };
  Embedder model = tiny_model(), other = tiny_model();
  train_until(model, 2);
  other.tokenizer = std::make_shared<Shouting>(other.tokenizer);
  EXPECT_TRUE(has(resume_error(std::move(other)), "model.tokenizer.json: the checkpoint has"));
}

TEST_F(Checkpoint, ItsModelHasTheRunsTensorsAndNoOthers) {
  Embedder model = tiny_model();
  train_until(model, 2);
  const fs::path weights = checkpoints_ / "step-2" / "model" / "model.safetensors";
  std::vector<NamedTensor> tensors;
  for (const Parameter& parameter : model.parameters())
    tensors.push_back({parameter.name, parameter.value()});
  tensors.push_back({"lm_head.weight", at::ones({2, 2})});
  write_safetensors(weights, tensors);
  EXPECT_TRUE(has(resume_error(tiny_model()), "tensor 'lm_head.weight': unexpected"));
  tensors.resize(tensors.size() - 2);
  write_safetensors(weights, tensors);
  EXPECT_TRUE(has(resume_error(tiny_model()), "missing"));
}

TEST_F(Checkpoint, NumbersThatAreNotFiniteAreRefused) {
  Embedder model = tiny_model();
  train_until(model, 2);
  const fs::path file = checkpoints_ / "step-2" / "optimizer.safetensors";
  std::vector<NamedTensor> tensors;
  const TensorFiles saved = TensorFiles::open(file);
  for (const std::string& name : saved.names()) tensors.push_back({name, saved.tensor(name).clone()});
  tensors[3].tensor.flatten()[0] = std::numeric_limits<float>::infinity();
  write_safetensors(file, tensors);
  EXPECT_TRUE(has(resume_error(tiny_model()), "step-2: '" + tensors[3].name + "': expected finite numbers"));
}

TEST_F(Checkpoint, IsNotReplacedByWeightsThatAreNotFinite) {
  recipe_.checkpoint_every = 1;
  recipe_.stages[1].schedule = Schedule::constant;
  recipe_.stages[1].learning_rate = 1e39;
  recipe_.stages[1].output = folder_.path() / "never";
  Embedder model = tiny_model(), good = tiny_model();
  EXPECT_TRUE(
      has(message_of([&] { train(model, recipe_, {.checkpoints = checkpoints_}); }),
          "train: stage 'second', after step 1: 'embed_tokens.weight': expected finite numbers alone, "
          "got others; lower learning_rate (1e+39)"));
  EXPECT_EQ(names(), std::vector<std::string>{"step-4"});
  recipe_.stages.pop_back();
  train(good, recipe_);
  EXPECT_TRUE(same_weights(Embedder::load(checkpoints_ / "step-4" / "model"), good));
  EXPECT_FALSE(fs::exists(folder_.path() / "never"));
}

TEST_F(Checkpoint, AnotherRunBesideALiveOneIsRefused) {
  Embedder model = tiny_model();
  int64_t refused = 0;
  train(model, recipe_,
        {.checkpoints = checkpoints_, .on_step = [&](const StepReport& report) {
           Embedder other = tiny_model();
           EXPECT_TRUE(has(message_of([&] {
                             train(other, recipe_,
                                   {.checkpoints = checkpoints_, .resume = report.total_step > 4});
                           }),
                           "checkpoints/lock: another run"));
           ++refused;
         }});
  EXPECT_EQ(refused, 7);
}

TEST_F(Checkpoint, WhatAKilledRunLeftIsNoRunAndIsRemoved) {
  fs::create_directories(checkpoints_ / ".decovec-1-0.tmp" / "model");
  write_file(checkpoints_ / "notes.txt", "notes");
  write_file(checkpoints_ / "lock", "");
  EXPECT_TRUE(has(resume_error(tiny_model()), "no checkpoint to resume from"));
  Embedder model = tiny_model();
  EXPECT_EQ(train_until(model, 2), TrainResult::stopped);
  EXPECT_EQ(names(), (std::vector<std::string>{"notes.txt", "step-2"}));
  remove_checkpoints(checkpoints_);
  EXPECT_EQ(names(), std::vector<std::string>{"notes.txt"});
}

TEST_F(Checkpoint, AnOutputThatStandsIsNeverReplaced) {
  recipe_.stages[1].output = folder_.path() / "precious";
  Embedder model = tiny_model();
  train_until(model, 2);
  fs::create_directory(recipe_.stages[1].output);
  write_file(recipe_.stages[1].output / "config.json", "{}");
  Embedder resumed = tiny_model();
  EXPECT_EQ(message_of([&] {
              train(resumed, recipe_,
                    {.checkpoints = checkpoints_, .resume = true, .on_step = [](const StepReport&) {
                       ADD_FAILURE() << "trained";
                     }});
            }),
            recipe_.stages[1].output.string() +
                ": output of stage 'second': already there; remove it or choose another name");
  EXPECT_EQ(read_file(recipe_.stages[1].output / "config.json"), "{}");
}

TEST_F(Checkpoint, AnOutputOfTheRunItselfIsKept) {
  const fs::path output = recipe_.stages[0].output = folder_.path() / "after_first";
  break_off_after(4);
  write_file(output / "notes.txt", "notes");
  const std::string config = read_file(output / "config.json");
  write_file(output / "config.json", config + " ");
  EXPECT_TRUE(has(resume_error(tiny_model()), "output of stage 'first': already there"));
  write_file(output / "config.json", config);
  const auto written = fs::last_write_time(output / "model.safetensors");
  Embedder whole = tiny_model(), resumed = tiny_model();
  EXPECT_EQ(train_until(resumed, -1, true), TrainResult::finished);
  EXPECT_EQ(fs::last_write_time(output / "model.safetensors"), written);
  EXPECT_EQ(read_file(output / "notes.txt"), "notes");
  recipe_.stages[0].output.clear();
  train(whole, recipe_);
  EXPECT_TRUE(same_weights(whole, resumed));
}

TEST_F(Checkpoint, ARunThatFailsLeavesNoFolderBehind) {
  const std::set<std::string> before = folder_.names();
  recipe_.stages[0].learning_rate = 1e39;
  recipe_.stages[0].output = folder_.path() / "deep" / "er" / "output";
  Embedder model = tiny_model();
  EXPECT_TRUE(
      has(message_of([&] { train(model, recipe_, {.checkpoints = folder_.path() / "a" / "checkpoints"}); }),
          "finite"));
  EXPECT_EQ(folder_.names(), before);
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
  expect_error("training.json", set("format", 3), "another version");
  expect_error("training.json", set("stage", 2), "stage");
  expect_error("training.json", set("step", 5), "step");
  expect_error("training.json", set("step", -1), "step");
  expect_error("training.json", set("positions", {1, 2}), "positions");
  expect_error("training.json", set("positions", {-1}), "positions");
  expect_error("training.json", set("positions", "all"), "positions");
  expect_error(
      "training.json", set("positions", {9}),
      "training.json: 'positions': expected 1 numbers from 0 that add up to the 10 rows drawn so far, "
      "got [9]");
  expect_error("training.json", set("positions", {9223372036854775803}), "positions");
  expect_error("training.json", set("positions", {18446744073709551615u}), "positions");
  expect_error("training.json", set("step", 3), "positions");
  expect_error("training.json", set("run", 3), "run");
  EXPECT_EQ(resume_error(tiny_model()), "");
}

TEST_F(Checkpoint, AnyNumberOfRanksGoesOnWhereAnotherStopped) {
  const auto train_on = [&](int ranks, int64_t step, bool resume) {
    Embedder model = tiny_model(Pooling::mean, at::kDouble);
    ThreadRanks(ranks).run([&](World& world) {
      Embedder part = tiny_model(Pooling::mean, at::kDouble);
      train_until(part, step, resume, &world);
      if (world.rank() == 0) model = std::move(part);
    });
    return model;
  };
  Embedder whole = tiny_model(Pooling::mean, at::kDouble);
  train(whole, recipe_);
  for (const auto& [before, after] : {std::pair(2, 1), {2, 4}, {1, 3}, {4, 2}}) {
    fs::remove_all(checkpoints_);
    train_on(before, 3, false);
    const Embedder resumed = train_on(after, -1, true);
    const std::vector<at::Tensor> expected = test::weights_of(whole), found = test::weights_of(resumed);
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_LT((expected[i] - found[i]).abs().max().item<double>(),
                1e-10 * expected[i].abs().max().item<double>())
          << before << " ranks, then " << after;
  }
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
