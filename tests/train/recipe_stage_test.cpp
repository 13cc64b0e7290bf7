// [[stage]] of a recipe.
#include <cmath>

#include <ATen/ATen.h>

#include "train/recipe_fixture.hpp"

namespace decovec {
namespace {

using namespace test;

TEST_F(RecipeTest, ReadsEveryKeyOfAStage) {
  const Recipe recipe = load(R"(
[[data]]
name = "pairs"
files = ["a.jsonl"]
[[stage]]
name = "one"
data = ["pairs"]
loss = "info_nce"
temperature = 0.02
batch_size = 64
homogeneous_ratio = 0.5
size_exponent = 1
micro_batch_tokens = 1000
gradient_checkpointing = true
hidden_dropout = 0.25
layer_decay = 0.9
steps = 30
optimizer = "sgd"
learning_rate = 1
warmup_steps = 5
schedule = "cosine"
weight_decay = 0.1
clip = 0
output = "after one"
)");
  const StageRecipe& stage = recipe.stages.at(0);
  EXPECT_EQ(stage.losses.at(0).description, "info_nce(temperature = 0.02)");
  EXPECT_EQ(stage.batch_size, 64);
  EXPECT_EQ(stage.homogeneous_ratio, 0.5);
  EXPECT_EQ(stage.size_exponent, 1.0);
  EXPECT_EQ(stage.micro_batch_tokens, 1000);
  EXPECT_TRUE(stage.gradient_checkpointing);
  EXPECT_EQ(stage.hidden_dropout, 0.25);
  EXPECT_EQ(stage.layer_decay, 0.9);
  EXPECT_EQ(stage.optimizer, Optimizer::sgd);
  EXPECT_EQ(stage.learning_rate, 1.0);
  EXPECT_EQ(stage.warmup_steps, 5);
  EXPECT_EQ(stage.schedule, Schedule::cosine);
  EXPECT_EQ(stage.weight_decay, 0.1);
  EXPECT_EQ(stage.clip, 0.0);
  EXPECT_EQ(stage.output, folder_ / "after one");
}

TEST_F(RecipeTest, ErrorsOfAStageNameFileLineAndPlace) {
  EXPECT_EQ(error(replaced(whole, "steps = 20", "steps = \"20\"")),
            "r.toml:14: stage 'retrieval': 'steps': expected an integer from 1 to 1099511627776, got \"20\"");
  EXPECT_EQ(error(replaced(whole, "steps = 20", "steps = 0")),
            "r.toml:14: stage 'retrieval': 'steps': expected an integer from 1 to 1099511627776, got 0");
  EXPECT_EQ(error(replaced(whole, "steps = 20", "loss = \"infonce\"")),
            "r.toml:14: stage 'retrieval': 'loss': expected \"info_nce\" or \"cosent\" or \"triplet\" or "
            "\"cosine_mse\" or \"margin_mse\" or \"kl_divergence\", got \"infonce\"");
  EXPECT_EQ(
      error(replaced(whole, "steps = 20", "schedule = \"step\"")),
      "r.toml:14: stage 'retrieval': 'schedule': expected \"linear\" or \"cosine\" or \"constant\", got "
      "\"step\"");
  EXPECT_EQ(error(replaced(whole, "steps = 20", "temperature = 0.0")),
            "r.toml:14: stage 'retrieval': 'temperature': expected a number of 1e-06 or more, got 0");
  EXPECT_EQ(error(replaced(whole, "steps = 20", "clip = nan")),
            "r.toml:14: stage 'retrieval': 'clip': expected a number of 0 or more, got nan");
  EXPECT_EQ(error(replaced(whole, "steps = 20", "homogeneous_ratio = 2")),
            "r.toml:14: stage 'retrieval': 'homogeneous_ratio': expected a number from 0 to 1, got 2");
  EXPECT_EQ(error(replaced(whole, "steps = 20", "size_exponent = -0.5")),
            "r.toml:14: stage 'retrieval': 'size_exponent': expected a number from 0 to 1, got -0.5");
  EXPECT_EQ(error(replaced(whole, "steps = 20", "learning_rate = 0")),
            "r.toml:14: stage 'retrieval': 'learning_rate': expected a number above 0, got 0");
  EXPECT_TRUE(
      error(replaced(whole, "steps = 20", "step = 20"))
          .starts_with("r.toml:14: stage 'retrieval': unknown key 'step', expected one of name, data,"));
  EXPECT_EQ(
      error(replaced(whole, "[\"pairs\"]", "[\"pairs\", \"pears\"]")),
      "r.toml:13: stage 'retrieval': 'data': expected names of data sets (pairs, v1.topics), each once, got "
      "\"pears\"");
  EXPECT_TRUE(
      error(replaced(whole, "[\"pairs\"]", "[\"pairs\", \"pairs\"]")).starts_with("r.toml:13: stage"));
  EXPECT_EQ(error(replaced(whole, "[\"pairs\"]", "\"pairs\"")),
            "r.toml:13: stage 'retrieval': 'data': expected a list of one or more strings, got \"pairs\"");
  EXPECT_EQ(error(replaced(whole, "[\"pairs\"]", "[]")),
            "r.toml:13: stage 'retrieval': 'data': expected a list of one or more strings, got a list");
  EXPECT_EQ(error(replaced(whole, "name = \"blend\"", "")),
            "r.toml:15: stage 2: 'name' is missing, expected a string that is not empty");
  EXPECT_EQ(
      error(replaced(whole, "\"blend\"", "\"retrieval\"")),
      "r.toml:16: stage 'retrieval': 'name': expected a name that no other stage has, got \"retrieval\"");
  EXPECT_EQ(error(replaced(whole, "steps = 20", "output = \"tuned\"")),
            "r.toml:14: stage 'retrieval': 'output': expected a folder apart from all others that the recipe "
            "writes, "
            "got \"tuned\"");
  for (const char* output : {"tuned/", "./x/../tuned", "tuned/inner", ".."})
    EXPECT_TRUE(
        error(whole, {std::string("stage.blend.output=") + output}).find("a folder apart from all others") !=
        std::string::npos)
        << output;
  EXPECT_EQ(load(whole, {"stage.blend.output=tuned.blend"}).stages[1].output, folder_ / "tuned.blend");
  EXPECT_EQ(error(whole, {"stage.blend.batch_size=1099511627776"}),
            "--set stage.blend.batch_size=1099511627776: stage 'blend': 'batch_size': expected an integer "
            "from 1 to "
            "1048576, got 1099511627776");
}

TEST_F(RecipeTest, AWarmUpMayBeAShareOfTheStage) {
  const auto warmup = [&](const std::string& text) {
    return load(replaced(whole, "steps = 20", text)).stages[0].warmup_steps;
  };
  EXPECT_EQ(warmup("steps = 20\nwarmup_ratio = 0.1"), 2);
  EXPECT_EQ(warmup("warmup_ratio = 0.11\nsteps = 20"), 3);
  EXPECT_EQ(warmup("steps = 20\nwarmup_ratio = 0"), 0);
  EXPECT_EQ(error(replaced(whole, "steps = 20", "warmup_steps = 2\nwarmup_ratio = 0.1")),
            "r.toml:15: stage 'retrieval': 'warmup_ratio': expected none beside warmup_steps, got 0.1");
  EXPECT_EQ(error(replaced(whole, "steps = 20", "layer_decay = 1.5")),
            "r.toml:14: stage 'retrieval': 'layer_decay': expected a number above 0, at most 1, got 1.5");
}

// What a stage's loss gives for two queries whose vectors are e1 and e2, with documents of cosine 1 and 0.6.
double value_of(const LossRecipe& loss) {
  const at::Tensor queries = at::eye(2, at::kDouble);
  const at::Tensor documents = at::tensor({1.0, 0.0, 0.6, 0.8, 0.0, 1.0, 0.8, 0.6}, at::kDouble).view({4, 2});
  const Relation relation({.owner = {0, 0, 1, 1},
                           .role = {Role::positive, Role::negative, Role::positive, Role::negative},
                           .pool = {0, 0},
                           .text = {1, 2, 3, 4},
                           .answers = {{}, {}},
                           .score = {1.0, 0.5, 1.0, 0.0}});
  return loss.loss({queries, documents}, relation, nullptr).item<double>();
}

TEST_F(RecipeTest, ALossHasItsOptionsBesideItsName) {
  const auto read = [&](const std::string& text) {
    return load(replaced(whole, "steps = 20", text)).stages[0].losses;
  };
  // Candidates of query 0: 1, 0.6, 0 and 0.8.
  const auto nce = [](std::vector<double> others, double temperature) {
    double sum = 1;
    for (const double other : others) sum += std::exp((other - 1) / temperature);
    return std::log(sum);
  };
  EXPECT_NEAR(value_of(read("temperature = 0.5")[0]), nce({0.6, 0, 0.8}, 0.5), 1e-12);
  EXPECT_NEAR(value_of(read("loss = {name = \"info_nce\", temperature = 0.5}")[0]), nce({0.6, 0, 0.8}, 0.5),
              1e-12);
  EXPECT_NEAR(value_of(read("directions = [\"query_to_positive\"]")[0]), nce({0.6, 0}, 0.05), 1e-12);
  EXPECT_NEAR(value_of(read("directions = [\"query_to_positive\", \"document_to_query\"]\njoint = false")[0]),
              (nce({0.6, 0}, 0.05) + nce({0}, 0.05)) / 2, 1e-12);
  EXPECT_NEAR(value_of(read("filter = {margin = 0.3, relative = true}\ntemperature = 1")[0]),
              nce({0.6, 0}, 1), 1e-12);
  EXPECT_NEAR(value_of(read("loss = \"triplet\"\nmargin = 1\nsimilarity = \"cosine\"")[0]), 0.6, 1e-12);
  EXPECT_NEAR(value_of(read("loss = \"cosine_mse\"")[0]), (0.01 / 2 + 0.36 / 2) / 2, 1e-12);
  EXPECT_NEAR(value_of(read("loss = \"margin_mse\"\nsimilarity = \"cosine\"")[0]), (0.01 + 0.36) / 2, 1e-12);
  EXPECT_GT(value_of(read("loss = \"kl_divergence\"\ntemperature = 2\nteacher_temperature = 1")[0]), 0);
  EXPECT_GT(value_of(read("loss = \"cosent\"\nscale = 5\nsimilarity = \"angle\"")[0]), 0);

  const auto cut = read(
      "loss = {name = \"info_nce\", matryoshka = {dimensions = [2, 1], weights = [1, 0.5]}, weight = 3}");
  EXPECT_EQ(cut[0].description, "info_nce(matryoshka = { dimensions = [ 2, 1 ], weights = [ 1, 0.5 ] })");
  EXPECT_EQ(cut[0].weight, 3);
  const auto stacked =
      read("loss = [{name = \"info_nce\"}, {name = \"cosent\", data = [\"pairs\"], weight = 0.5}]");
  ASSERT_EQ(stacked.size(), 2u);
  EXPECT_TRUE(stacked[0].data.empty());
  EXPECT_EQ(stacked[1].data, Texts{"pairs"});
  EXPECT_EQ(stacked[1].weight, 0.5);
}

TEST_F(RecipeTest, ErrorsOfLossesNameTheirPlace) {
  const auto wrong = [&](const std::string& text) { return error(replaced(whole, "steps = 20", text)); };
  EXPECT_TRUE(wrong("loss = \"cosent\"\ntemperature = 0.1")
                  .starts_with("r.toml:15: stage 'retrieval': unknown key 'temperature', expected one of"));
  EXPECT_TRUE(
      wrong("loss = {name = \"cosent\", temperature = 0.1}")
          .starts_with("r.toml:14: stage 'retrieval': loss: unknown key 'temperature', expected one of"));
  EXPECT_TRUE(wrong("loss = {name = \"cosent\"}\ntemperature = 0.1")
                  .starts_with("r.toml:15: stage 'retrieval': unknown key 'temperature', expected one of"));
  EXPECT_EQ(wrong("loss = []"),
            "r.toml:14: stage 'retrieval': 'loss': expected a name, a table with a name, or a list of such "
            "tables, got a list");
  EXPECT_EQ(wrong("loss = [\"cosent\"]"),
            "r.toml:14: stage 'retrieval': 'loss': expected a name, a table with a name, or a list of such "
            "tables, got \"cosent\"");
  EXPECT_EQ(wrong("loss = {temperature = 0.1}"),
            "r.toml:14: stage 'retrieval': loss: 'name' is missing, expected the name of a loss");
  EXPECT_EQ(wrong("loss = {name = \"info_nce\", data = [\"pears\"]}"),
            "r.toml:14: stage 'retrieval': loss: 'data': expected names of data sets (pairs), each once, got "
            "\"pears\"");
  EXPECT_EQ(wrong("loss = {name = \"info_nce\", weight = 0}"),
            "r.toml:14: stage 'retrieval': loss: 'weight': expected a number above 0, got 0");
  EXPECT_EQ(
      wrong("directions = [\"query\"]"),
      "r.toml:14: stage 'retrieval': 'directions': expected a list of one or more of query_to_document, "
      "query_to_positive, query_to_query, document_to_query, document_to_document, "
      "document_to_positive, got \"query\"");
  EXPECT_EQ(wrong("filter = 0.1"), "r.toml:14: stage 'retrieval': 'filter': expected a table, got 0.1");
  EXPECT_EQ(wrong("filter = {margin = \"a\"}"),
            "r.toml:14: stage 'retrieval': filter: 'margin': expected a number of -2 or more, got \"a\"");
  EXPECT_EQ(
      wrong("matryoshka = {}"),
      "r.toml:14: stage 'retrieval': matryoshka: 'dimensions' is missing, expected a list of one or more "
      "integers");
  EXPECT_EQ(
      wrong("matryoshka = {dimensions = [4, 0]}"),
      "r.toml:14: stage 'retrieval': matryoshka: 'dimensions': expected a list of one or more integers of "
      "1 or more, got 0");
  EXPECT_EQ(
      wrong("matryoshka = {dimensions = [4], weights = [-1]}"),
      "r.toml:14: stage 'retrieval': matryoshka: 'weights': expected a list of one or more numbers of 0 or "
      "more, got -1");
  // Options that are right each and wrong together.
  EXPECT_EQ(wrong("matryoshka = {dimensions = [4, 4]}"),
            "r.toml:11: stage 'retrieval': matryoshka: dimensions: expected each once, got 4 again");
  EXPECT_TRUE(wrong("matryoshka = {dimensions = [4, 2], weights = [0, 0]}")
                  .starts_with("r.toml:11: stage 'retrieval': matryoshka: weights: expected at "
                               "least one above 0"));
  EXPECT_TRUE(
      wrong("matryoshka = {dimensions = [4, 2], dimensions_per_batch = 3}")
          .starts_with("r.toml:11: stage 'retrieval': matryoshka: dimensions_per_batch: expected 0 to 2"));
  EXPECT_TRUE(
      wrong("loss = {name = \"info_nce\", directions = [\"query_to_query\"]}")
          .starts_with(
              "r.toml:14: stage 'retrieval': loss: info_nce: directions: expected query_to_document or"));
  EXPECT_TRUE(wrong("directions = [\"query_to_document\", \"query_to_document\"]")
                  .find("stage 'retrieval': info_nce: directions: expected each at most once") !=
              std::string::npos);
  EXPECT_EQ(load(replaced(whole, "steps = 20", "matryoshka = {dimensions = [4, 64, 2]}"))
                .stages[0]
                .losses[0]
                .least_columns,
            64);
  // The second stage has all sets, and no loss for one of them.
  EXPECT_EQ(error(replaced(whole, "name = \"blend\"",
                           "name = \"blend\"\nloss = {name = \"info_nce\", data = [\"pairs\"]}")),
            "r.toml:17: stage 'blend': 'loss': expected at least one for data set 'v1.topics', got a table");
}

}  // namespace
}  // namespace decovec
