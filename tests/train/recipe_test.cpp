#include "decovec/train/recipe.hpp"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

#include <ATen/ATen.h>

#include "decovec/world/random.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

// A recipe of every part; the tests change it by replacing pieces.
const std::string whole = R"(model = "base"
output = "out/../tuned"
[embedder]
pooling = "mean"
[[data]]
name = "pairs"
files = ["a.jsonl", "b.jsonl"]
[[data]]
name = "v1.topics"
files = ["a.jsonl"]
[[stage]]
name = "retrieval"
data = ["pairs"]
steps = 20
[[stage]]
name = "blend"
)";

const std::string new_model = R"([model.new]
tokenizer = "tokens.model"
hidden_size = 96
intermediate_size = 256
layers = 2
heads = 4
)";

class RecipeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string test = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = fs::temp_directory_path() / fmt::format("decovec_recipe_{}_{}", test, ::getpid());
    fs::create_directories(folder_);
    for (const char* name : {"a.jsonl", "b.jsonl"}) std::ofstream(folder_ / name) << "\n";
  }
  void TearDown() override { fs::remove_all(folder_); }

  Recipe load(const std::string& text, const Texts& overrides = {}) const {
    std::ofstream(folder_ / "r.toml", std::ios::binary) << text;
    return Recipe::load(folder_ / "r.toml", overrides);
  }

  // The error of a recipe, without the folder.
  std::string error(const std::string& text, const Texts& overrides = {}) const {
    try {
      load(text, overrides);
    } catch (const std::runtime_error& error) {
      return without_folder(error.what());
    }
    return "no error";
  }

  // The std::invalid_argument of an override.
  std::string rejection(const std::string& override_text) const {
    try {
      load(whole, {override_text});
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "no rejection";
  }

  std::string without_folder(std::string text) const {
    const std::string prefix = folder_.string() + "/";
    for (size_t at; (at = text.find(prefix)) != std::string::npos;) text.erase(at, prefix.size());
    return text;
  }

  fs::path folder_;
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST_F(RecipeTest, DefaultsAndPaths) {
  const Recipe recipe = load(whole);
  EXPECT_EQ(recipe.model, folder_ / "base");
  EXPECT_EQ(recipe.output, folder_ / "tuned");
  EXPECT_FALSE(recipe.new_model);
  EXPECT_EQ(recipe.seed, 1u);
  EXPECT_EQ(recipe.dtype, at::kFloat);
  EXPECT_EQ(recipe.checkpoint_every, 500);
  EXPECT_FALSE(recipe.attention);
  EXPECT_EQ(recipe.pooling, Pooling::mean);
  EXPECT_FALSE(recipe.eos);
  EXPECT_EQ(recipe.max_length, 0);
  EXPECT_EQ(recipe.latent_attention.latents, 512);
  EXPECT_EQ(recipe.latent_attention.head_dim, 0);
  ASSERT_EQ(recipe.data.size(), 2u);
  EXPECT_EQ(recipe.data[0].name, "pairs");
  EXPECT_EQ(recipe.data[0].files, (std::vector<fs::path>{folder_ / "a.jsonl", folder_ / "b.jsonl"}));
  EXPECT_EQ(recipe.data[0].query_prompt, "");
  EXPECT_EQ(recipe.data[0].weight, 1.0);
  EXPECT_TRUE(recipe.data[0].in_batch_negatives);
  EXPECT_EQ(recipe.data[0].negatives, 7);
  ASSERT_EQ(recipe.stages.size(), 2u);
  EXPECT_EQ(recipe.stages[0].data, Texts{"pairs"});
  EXPECT_EQ(recipe.stages[0].steps, 20);
  EXPECT_EQ(recipe.stages[1].name, "blend");
  EXPECT_TRUE(recipe.stages[1].data.empty());
  ASSERT_EQ(recipe.stages[1].losses.size(), 1u);
  EXPECT_EQ(recipe.stages[1].losses[0].description, "info_nce()");
  EXPECT_EQ(recipe.stages[1].optimizer, Optimizer::adamw);
  EXPECT_TRUE(recipe.stages[1].output.empty());
}

TEST_F(RecipeTest, ReadsEveryKey) {
  const Recipe recipe = load(R"(
output = "/elsewhere/out"
seed = 9223372036854775807
dtype = "bfloat16"
checkpoint_every = 0
[model.new]
tokenizer = "tokens.model"
hidden_size = 96
intermediate_size = 256
layers = 3
heads = 6
kv_heads = 2
head_dim = 32
norm_epsilon = 1e-6
rope_theta = 1000000
sliding_window = 7
max_positions = 99
[embedder]
attention = "causal"
pooling = "latent_attention"
max_length = 128
eos = false
latents = 8
latent_heads = 2
latent_head_dim = 16
latent_dim = 24
latent_multiplier = 3
[[data]]
name = "pairs"
files = ["a.jsonl"]
query_prompt = "Instruct: x\nQuery: "
document_prompt = "doc: "
weight = 2.5
in_batch_negatives = false
negatives = 7
[[stage]]
name = "one"
data = ["pairs"]
loss = "info_nce"
temperature = 0.02
batch_size = 64
micro_batch_tokens = 1000
gradient_checkpointing = true
steps = 30
optimizer = "sgd"
learning_rate = 1
warmup_steps = 5
schedule = "cosine"
weight_decay = 0.1
clip = 0
output = "after one"
)");
  EXPECT_TRUE(recipe.model.empty());
  EXPECT_EQ(recipe.output, "/elsewhere/out");
  EXPECT_EQ(recipe.seed, 9223372036854775807u);
  EXPECT_EQ(recipe.dtype, at::kBFloat16);
  EXPECT_EQ(recipe.checkpoint_every, 0);
  ASSERT_TRUE(recipe.new_model);
  EXPECT_EQ(recipe.new_model->tokenizer, folder_ / "tokens.model");
  const ModelConfig& config = recipe.new_model->config;
  EXPECT_EQ(config.hidden_size, 96);
  EXPECT_EQ(config.intermediate_size, 256);
  EXPECT_EQ(config.layers, 3);
  EXPECT_EQ(config.heads, 6);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_dim, 32);
  EXPECT_EQ(config.norm_epsilon, 1e-6);
  EXPECT_EQ(config.rope.theta, 1e6);
  EXPECT_EQ(config.sliding_window, 7);
  EXPECT_EQ(config.max_positions, 99);
  EXPECT_EQ(recipe.attention, Attention::causal);
  EXPECT_EQ(recipe.pooling, Pooling::latent_attention);
  EXPECT_EQ(recipe.max_length, 128);
  EXPECT_EQ(recipe.eos, false);
  EXPECT_EQ(recipe.latent_attention.latents, 8);
  EXPECT_EQ(recipe.latent_attention.heads, 2);
  EXPECT_EQ(recipe.latent_attention.head_dim, 16);
  EXPECT_EQ(recipe.latent_attention.latent_dim, 24);
  EXPECT_EQ(recipe.latent_attention.multiplier, 3);
  const DataRecipe& data = recipe.data.at(0);
  EXPECT_EQ(data.query_prompt, "Instruct: x\nQuery: ");
  EXPECT_EQ(data.document_prompt, "doc: ");
  EXPECT_EQ(data.weight, 2.5);
  EXPECT_FALSE(data.in_batch_negatives);
  EXPECT_EQ(data.negatives, 7);
  const StageRecipe& stage = recipe.stages.at(0);
  EXPECT_EQ(stage.losses.at(0).description, "info_nce(temperature = 0.02)");
  EXPECT_EQ(stage.batch_size, 64);
  EXPECT_EQ(stage.micro_batch_tokens, 1000);
  EXPECT_TRUE(stage.gradient_checkpointing);
  EXPECT_EQ(stage.optimizer, Optimizer::sgd);
  EXPECT_EQ(stage.learning_rate, 1.0);
  EXPECT_EQ(stage.warmup_steps, 5);
  EXPECT_EQ(stage.schedule, Schedule::cosine);
  EXPECT_EQ(stage.weight_decay, 0.1);
  EXPECT_EQ(stage.clip, 0.0);
  EXPECT_EQ(stage.output, folder_ / "after one");
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
  // The second stage has all sets, and no loss for one of them.
  EXPECT_EQ(error(replaced(whole, "name = \"blend\"",
                           "name = \"blend\"\nloss = {name = \"info_nce\", data = [\"pairs\"]}")),
            "r.toml:17: stage 'blend': 'loss': expected at least one for data set 'v1.topics', got a table");
}

TEST_F(RecipeTest, ANewModelHasDefaults) {
  const Recipe recipe = load(replaced(whole, "model = \"base\"\n", "") + new_model);
  const ModelConfig& config = recipe.new_model->config;
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.head_dim, 24);
  EXPECT_EQ(config.rope.theta, 1e4);
  EXPECT_FALSE(config.sliding_window);
}

TEST_F(RecipeTest, ANewModelIsOfAFamily) {
  const std::string other = replaced(whole, "model = \"base\"\n", "") + new_model;
  const ModelConfig config = load(other + "family = \"gemma3_text\"\nsliding_window = 7\n").new_model->config;
  EXPECT_EQ(config.family, "gemma3_text");
  EXPECT_EQ(config.hidden_size, 96);
  EXPECT_EQ(config.head_dim, 24);
  EXPECT_EQ(config.query_scalar, std::nullopt);  // that is, head_dim
  EXPECT_TRUE(config.qk_norm && config.norm_offset && config.post_norms && config.scale_embeddings);
  EXPECT_EQ(config.activation, Activation::gelu_tanh);
  EXPECT_EQ(config.sliding_window, 7);
  EXPECT_FALSE(load(other + "family = \"qwen2\"\n").new_model->config.sliding_window);
  EXPECT_NE(error(other + "family = \"bert\"\n").find("model.new: 'model_type': 'bert' is not supported"),
            std::string::npos);
}

TEST_F(RecipeTest, ErrorsNameFileLinePlaceAndExpectation) {
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
  EXPECT_EQ(
      error(replaced(whole, "\"b.jsonl\"", "\"c.jsonl\"")),
      "r.toml:7: data set 'pairs': 'files': expected files that exist; there is no c.jsonl, got \"c.jsonl\"");
  EXPECT_EQ(error(replaced(whole, "files = [\"a.jsonl\", \"b.jsonl\"]\n", "")),
            "r.toml:5: data set 'pairs': 'files' is missing, expected a list of one or more strings");
  EXPECT_EQ(error(replaced(whole, "name = \"blend\"", "")),
            "r.toml:15: stage 2: 'name' is missing, expected a string that is not empty");
  EXPECT_EQ(
      error(replaced(whole, "\"blend\"", "\"retrieval\"")),
      "r.toml:16: stage 'retrieval': 'name': expected a name that no other stage has, got \"retrieval\"");
  EXPECT_EQ(error(replaced(whole, "\"v1.topics\"", "\"pairs\"")),
            "r.toml:9: data set 'pairs': 'name': expected a name that no other data set has, got \"pairs\"");
  EXPECT_TRUE(error(replaced(whole, "\"v1.topics\"", "\"query\""))
                  .starts_with("r.toml:9: data set 'query': 'name': expected another name than query"));
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
  EXPECT_EQ(error(replaced(whole, "pooling = \"mean\"", "pooling = 3")),
            "r.toml:4: embedder: 'pooling': expected \"mean\" or \"last_token\" or \"latent_attention\" or "
            "\"cls\" or \"max\" or \"mean_sqrt_len\" or \"weighted_mean\", got 3");
  EXPECT_EQ(error(replaced(whole, "[embedder]", "dtype = \"float16\"\n[embedder]")),
            "r.toml:3: 'dtype': expected \"float32\" or \"bfloat16\", got \"float16\"");
  EXPECT_EQ(error(replaced(whole, "[embedder]", "seed = -1\n[embedder]")),
            "r.toml:3: 'seed': expected an integer from 0 to 9223372036854775807, got -1");
  EXPECT_TRUE(
      error(replaced(whole, "[embedder]", "sed = 1\n[embedder]")).starts_with("r.toml:3: unknown key 'sed'"));
  EXPECT_TRUE(
      error(replaced(whole, "model = \"base\"", "model = \"\"")).starts_with("r.toml:1: 'model': expected"));
  EXPECT_TRUE(error(replaced(whole, "model = \"base\"", "model = 1979-05-27"))
                  .ends_with("expected a folder, or a table [model.new], got a date or time"));
}

TEST_F(RecipeTest, ErrorsOfMissingParts) {
  EXPECT_NE(error("").find("'data' is missing, expected one or more tables [[data]]"), std::string::npos);
  EXPECT_NE(error("[[data]]\nname = \"x\"\nfiles = [\"a.jsonl\"]\n").find("'stage' is missing"),
            std::string::npos);
  EXPECT_EQ(error("[stage]\nname = \"x\"\n"),
            "r.toml:1: 'stage': expected one or more tables [[stage]], got a table");
  EXPECT_EQ(error("stage = [1]\n"), "r.toml:1: 'stage': expected one or more tables [[stage]], got 1");
  EXPECT_EQ(error("data = []\n"), "r.toml:1: 'data': expected one or more tables [[data]], got a list");
}

TEST_F(RecipeTest, ErrorsOfTheNewModel) {
  const std::string text = new_model + replaced(whole, "model = \"base\"\noutput = \"out/../tuned\"\n", "");
  EXPECT_EQ(error(text), "no error");
  EXPECT_EQ(error(replaced(text, "layers = 2\n", "")),
            "r.toml:1: model.new: 'layers' is missing, expected an integer of 1 or more");
  EXPECT_EQ(error(replaced(text, "tokenizer = \"tokens.model\"\n", "")),
            "r.toml:1: model.new: 'tokenizer' is missing, expected a sentencepiece model file");
  EXPECT_TRUE(error(replaced(text, "heads = 4", "heads = 4\nkv_heads = 3"))
                  .starts_with("r.toml:1: model.new: model config: heads: expected a multiple of kv_heads"));
  EXPECT_TRUE(error(replaced(text, "heads = 4", "heads = 4\nhead = 3"))
                  .starts_with("r.toml:7: model.new: unknown key 'head'"));
  EXPECT_EQ(error(replaced(text, "pooling = \"mean\"", "")),
            "r.toml:1: model.new: expected a 'pooling' in [embedder], got none");
  EXPECT_TRUE(error(replaced(text, "[model.new]", "[model.old]"))
                  .starts_with("r.toml:1: 'model': expected a folder"));
  EXPECT_TRUE(error(replaced(text, "[model.new]", "[model]\nfolder = 1\n[model.new]"))
                  .starts_with("r.toml:2: model: unknown key 'folder'"));
  // TOML itself refuses both at once.
  EXPECT_NE(error("model = \"base\"\n" + text).find("cannot redefine existing string"), std::string::npos);
}

TEST_F(RecipeTest, SyntaxErrorsNameFileAndLine) {
  for (const std::string bad : {"= 1", "seed = ", "seed = 1\nseed = 2", "seed == 1", "[embedder",
                                "seed = \"a", "x = \"\xff\"", "a.b = 1\n[a]\nb = 2", "a = [1,", "\x01", "[!]",
                                "[\u00e9]", "\u00e9 = 1", "seed = 1 \u00e9", "a = ''\u00e9"}) {
    const std::string text = error("\n" + bad);
    EXPECT_TRUE(text.starts_with("r.toml:2: ") || text.starts_with("r.toml:3: ") ||
                text.starts_with("r.toml:4: "))
        << bad << " gave " << text;
  }
  EXPECT_TRUE(error("a = " + std::string(100000, '[')).starts_with("r.toml:1: "));
  // Strings and comments may hold anything, and what looks like the end of one.
  for (const std::string good :
       {"# \u00e9 \"\na = 1", "a = \"\u00e9 \\\" \u00e9\"", "a = '\u00e9 \\'",
        "a = \"\"\"\n\u00e9 \" \u00e9\"\"\"\"", "a = \'\'\'\n# \u00e9 ' \\\'\'\'", "\"\u00e9\" = 1"})
    EXPECT_NE(error(good).find("unknown key"), std::string::npos) << good << " gave " << error(good);
  EXPECT_THROW(Recipe::load(folder_ / "absent.toml"), std::runtime_error);
  EXPECT_THROW(Recipe::load(folder_), std::runtime_error);
}

TEST_F(RecipeTest, BrokenTextIsAnErrorOrARecipe) {
  const auto survives = [&](const std::string& text, const std::string& override_text) {
    try {
      load(text, {override_text});
    } catch (const std::runtime_error&) {
    } catch (const std::invalid_argument&) {
    }
  };
  const std::string text = new_model + replaced(whole, "model = \"base\"\noutput = \"out/../tuned\"\n", "");
  for (size_t length = 0; length < text.size(); length += 5) survives(text.substr(0, length), "seed=1");
  const std::string bytes = std::string("[]{}=\"'.,#\n\\\xff\xc3x-1e_ ") + '\0';
  for (uint64_t trial = 0; trial < 100; ++trial) {
    std::string broken = text, override_text = "stage.retrieval.steps=[10, {a = 1}]";
    for (uint64_t change = 0; change < 3; ++change) {
      const RandomKey key = RandomKey(11).with(trial).with(change);
      const char byte = bytes[random_below(key.with("byte"), bytes.size())];
      broken[random_below(key.with("at"), broken.size())] = byte;
      override_text[random_below(key.with("override"), override_text.size())] = byte;
    }
    survives(broken, "seed=1");
    survives(text, override_text);
  }
}

TEST_F(RecipeTest, OverridesAddressByName) {
  const Recipe recipe = load(whole, {"seed=2", "stage.retrieval.steps=10", "data.v1.topics.weight=2.5",
                                     "embedder.pooling=last_token", "output=foo bar", "model=\"elsewhere\"",
                                     "stage.blend.data=[\"pairs\"]", "stage.blend.steps = 7",
                                     "data.pairs.query_prompt=a=b", "seed=3", "embedder.eos=true"});
  EXPECT_EQ(recipe.seed, 3u);
  EXPECT_EQ(recipe.stages[0].steps, 10);
  EXPECT_EQ(recipe.stages[1].steps, 7);
  EXPECT_EQ(recipe.stages[1].data, Texts{"pairs"});
  EXPECT_EQ(recipe.data[1].weight, 2.5);
  EXPECT_EQ(recipe.data[0].query_prompt, "a=b");
  EXPECT_EQ(recipe.pooling, Pooling::last_token);
  EXPECT_EQ(recipe.eos, true);
  EXPECT_EQ(recipe.output, folder_ / "foo bar");
  EXPECT_EQ(recipe.model, folder_ / "elsewhere");

  const std::string text =
      new_model + "[[data]]\nname = \"x\"\nfiles = [\"a.jsonl\"]\n[[stage]]\nname = \"y\"\n";
  const Recipe fresh = load(text, {"embedder.pooling=mean", "model.new.layers=5"});
  EXPECT_EQ(fresh.new_model->config.layers, 5);
  EXPECT_EQ(fresh.pooling, Pooling::mean);
  EXPECT_EQ(load(text, {"model=base"}).model, folder_ / "base");
}

TEST_F(RecipeTest, AnOverrideOfTextReadsEscapesWithAndWithoutQuotes) {
  const std::string prompt = "Instruct: find\nQuery: ";
  EXPECT_EQ(load(whole, {R"(data.pairs.query_prompt="Instruct: find\nQuery: ")"}).data[0].query_prompt,
            prompt);
  EXPECT_EQ(load(whole, {R"(data.pairs.query_prompt=Instruct: find\nQuery: )"}).data[0].query_prompt, prompt);
  EXPECT_EQ(load(whole, {R"(data.pairs.query_prompt=say "x" \n)"}).data[0].query_prompt, R"(say "x" \n)");
}

TEST_F(RecipeTest, AnOverrideCannotBringMoreThanItsValue) {
  EXPECT_EQ(load(whole, {"output=1\nseed = 7"}).output, folder_ / "1\nseed = 7");
  EXPECT_EQ(load(whole, {"output=1\nseed = 7"}).seed, 1u);
  EXPECT_EQ(load(whole, {"output=\"half"}).output, folder_ / "\"half");
}

TEST_F(RecipeTest, WrongOverridesAreNamed) {
  EXPECT_EQ(error(whole, {"stage.retrieval.steps=ten"}),
            "--set stage.retrieval.steps=ten: stage 'retrieval': 'steps': expected an integer from 1 to "
            "1099511627776, got \"ten\"");
  EXPECT_TRUE(error(whole, {"stage.retrieval.step=10"})
                  .starts_with("--set stage.retrieval.step=10: stage 'retrieval': unknown key 'step'"));
  EXPECT_TRUE(
      error(whole, {"sed=10"}).starts_with("--set sed=10: unknown key 'sed', expected one of model,"));
  EXPECT_TRUE(
      error(whole, {"output="}).starts_with("--set output=: 'output': expected a string that is not"));
  EXPECT_TRUE(error(whole, {"output=3"}).starts_with("--set output=3: 'output': expected a string, got 3"));
  EXPECT_TRUE(error(whole, {"stage=3"}).starts_with("--set stage=3: 'stage': expected one or more tables"));
  EXPECT_EQ(
      rejection("stage.retrival.steps=1"),
      "--set stage.retrival.steps=1: no stage has the name 'retrival', expected one of retrieval, blend");
  EXPECT_EQ(rejection("data.topics.weight=1"),
            "--set data.topics.weight=1: no data has the name 'topics', expected one of pairs, v1.topics");
  EXPECT_EQ(rejection("model.new.layers=1"), "--set model.new.layers=1: the recipe has no [model.new]");
  for (const std::string bad : {"seed", "=1", " =1", "", ".seed=1", "stages.retrieval.steps=1",
                                "stage.steps=1", "embedder.pooling.x=1", "model.steps=1", "output=\xff"}) {
    EXPECT_TRUE(rejection(bad).starts_with("--set " + bad + ": ")) << bad << " gave " << rejection(bad);
  }
}

TEST_F(RecipeTest, TheExampleRecipeLoads) {
  const fs::path source = fs::path(std::getenv("DECOVEC_TEST_DATA")) / "../../recipes/two_stages.toml";
  fs::copy_file(source, folder_ / "two_stages.toml");
  fs::create_directories(folder_ / "data");
  for (const char* name : {"search", "topics", "similar"}) {
    std::ofstream(folder_ / "data" / fmt::format("{}.jsonl", name)) << "\n";
  }
  const Recipe recipe =
      Recipe::load(folder_ / "two_stages.toml", {"stage.retrieval.steps=100", "output=trial"});
  ASSERT_EQ(recipe.stages.size(), 2u);
  EXPECT_EQ(recipe.stages[0].steps, 100);
  const auto in_batch = [&](const std::string& name) {
    for (const DataRecipe& data : recipe.data) {
      if (data.name == name) return data.in_batch_negatives;
    }
    throw std::runtime_error("no data set " + name);
  };
  for (const std::string& name : recipe.stages[0].data) EXPECT_TRUE(in_batch(name)) << name;
  for (const std::string& name : recipe.stages[1].data) EXPECT_FALSE(in_batch(name)) << name;
}

// A recipe that starts from a small random model.
Recipe small_model() {
  Recipe recipe;
  NewModelRecipe& model = recipe.new_model.emplace();
  model.tokenizer = fs::path(std::getenv("DECOVEC_TEST_DATA")) / "tokenizer" / "tokenizer.model";
  model.config.hidden_size = 16;
  model.config.intermediate_size = 24;
  model.config.layers = 2;
  model.config.heads = model.config.kv_heads = 2;
  model.config.head_dim = 8;
  recipe.attention = Attention::bidirectional;
  recipe.pooling = Pooling::latent_attention;
  recipe.latent_attention = {.latents = 4, .heads = 2, .head_dim = 8, .latent_dim = 16, .multiplier = 2};
  recipe.max_length = 33;
  return recipe;
}

TEST(StartingModel, DrawsANewModelByTheSeed) {
  Recipe recipe = small_model();
  const Embedder model = starting_model(recipe), same = starting_model(recipe);
  EXPECT_EQ(model.transformer.config.vocab_size, model.tokenizer->size());
  EXPECT_EQ(model.transformer.config.attention, Attention::bidirectional);
  EXPECT_EQ(model.pooling, std::vector{Pooling::latent_attention});
  EXPECT_EQ(model.latents.value().config.latents, 4);
  EXPECT_EQ(model.rule.max_length, 33);
  EXPECT_EQ(model.dtype(), at::kFloat);
  recipe.seed = 2;
  const at::Tensor vector = model.encode({"a text"});
  EXPECT_TRUE(vector.equal(same.encode({"a text"})));
  EXPECT_FALSE(vector.equal(starting_model(recipe).encode({"a text"})));
  recipe.dtype = at::kBFloat16;
  EXPECT_EQ(starting_model(recipe).dtype(), at::kBFloat16);
}

TEST_F(RecipeTest, StartsFromAFolderAsTheEmbedderTableSays) {
  Recipe small = small_model();
  small.pooling = Pooling::mean;
  starting_model(small).save(folder_ / "base");

  Recipe recipe;
  recipe.model = folder_ / "base";
  const Embedder as_saved = starting_model(recipe);
  EXPECT_EQ(as_saved.pooling, std::vector{Pooling::mean});
  EXPECT_EQ(as_saved.transformer.config.attention, Attention::bidirectional);
  recipe.pooling = Pooling::last_token;
  recipe.attention = Attention::causal;
  recipe.eos = true;
  recipe.max_length = 7;
  const Embedder changed = starting_model(recipe);
  EXPECT_EQ(changed.pooling, std::vector{Pooling::last_token});
  EXPECT_EQ(changed.transformer.config.attention, Attention::causal);
  EXPECT_NE(changed.rule.eos, EndOfText::none);
  EXPECT_EQ(changed.rule.max_length, 7);
  recipe.model = folder_ / "absent";
  EXPECT_THROW(starting_model(recipe), std::runtime_error);
}

TEST(StartingModel, NeedsOneBeginning) {
  Recipe recipe;
  EXPECT_THROW(starting_model(recipe), std::invalid_argument);
  recipe.model = "somewhere";
  recipe.new_model.emplace();
  EXPECT_THROW(starting_model(recipe), std::invalid_argument);
}

}  // namespace
}  // namespace decovec
