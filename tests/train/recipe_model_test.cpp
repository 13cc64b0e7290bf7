// model, [model.new] and [embedder] of a recipe, and the model that they give.
#include <cstdlib>

#include "io/temporary_folder.hpp"
#include "train/recipe_fixture.hpp"

namespace decovec {
namespace {

using namespace test;

TEST_F(RecipeTest, ReadsEveryKeyOfTheEmbedder) {
  const Recipe recipe = load(R"(
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
[[stage]]
name = "one"
)");
  EXPECT_EQ(recipe.attention, Attention::causal);
  EXPECT_EQ(recipe.pooling, Pooling::latent_attention);
  EXPECT_EQ(recipe.max_length, 128);
  EXPECT_EQ(recipe.eos, false);
  EXPECT_EQ(recipe.latent_attention.latents, 8);
  EXPECT_EQ(recipe.latent_attention.heads, 2);
  EXPECT_EQ(recipe.latent_attention.head_dim, 16);
  EXPECT_EQ(recipe.latent_attention.latent_dim, 24);
  EXPECT_EQ(recipe.latent_attention.multiplier, 3);
}

TEST_F(RecipeTest, ReadsEveryKeyOfANewModel) {
  const Recipe recipe = load(R"(
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
pooling = "mean"
[[data]]
name = "pairs"
files = ["a.jsonl"]
[[stage]]
name = "one"
)");
  EXPECT_TRUE(recipe.model.empty());
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

TEST_F(RecipeTest, ErrorsOfTheEmbedderNameFileLineAndPlace) {
  EXPECT_EQ(error(replaced(whole, "pooling = \"mean\"", "pooling = 3")),
            "r.toml:4: embedder: 'pooling': expected \"mean\" or \"last_token\" or \"latent_attention\" or "
            "\"cls\" or \"max\" or \"mean_sqrt_len\" or \"weighted_mean\", got 3");
  EXPECT_TRUE(
      error(replaced(whole, "model = \"base\"", "model = \"\"")).starts_with("r.toml:1: 'model': expected"));
  EXPECT_TRUE(error(replaced(whole, "model = \"base\"", "model = 1979-05-27"))
                  .ends_with("expected a folder, or a table [model.new], got a date or time"));
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

TEST_F(RecipeTest, ReadsEveryKeyOfLora) {
  const std::string rest = whole.substr(whole.find("[embedder]"));
  const Recipe recipe = load(R"(model = "base"
merge_output = true
base = "elsewhere"
adapters = ["one", "/two"]
[lora]
rank = 4
alpha = 12.5
dropout = 0.05
targets = ["q_proj", "layers.0.mlp.up_proj"]
excluded = '.*layers[.]1.*'
layers = [0, 2]
modules_to_save = ["norm"]
rslora = true
dora = true
)" + rest);
  EXPECT_TRUE(recipe.merge_output && recipe.merge_adapters);
  EXPECT_EQ(recipe.base, folder_ / "elsewhere");
  EXPECT_EQ(recipe.adapters, (std::vector<fs::path>{folder_ / "one", "/two"}));
  const AdapterConfig& lora = recipe.lora.value();
  EXPECT_EQ(lora.rank, 4);
  EXPECT_EQ(lora.alpha, 12.5);
  EXPECT_EQ(lora.dropout, 0.05);
  EXPECT_EQ(lora.targets.names, (Texts{"q_proj", "layers.0.mlp.up_proj"}));
  EXPECT_EQ(lora.targets.pattern, "");
  EXPECT_EQ(lora.excluded.pattern, ".*layers[.]1.*");
  EXPECT_EQ(lora.layers, (std::vector<int64_t>{0, 2}));
  EXPECT_EQ(lora.modules_to_save, Texts{"norm"});
  EXPECT_TRUE(lora.rslora && lora.dora);

  EXPECT_FALSE(load(whole).lora);
  const AdapterConfig plain = load(whole, {"lora.rank=8"}).lora.value();
  EXPECT_EQ(plain.rank, 8);
  EXPECT_EQ(plain.alpha, 32);
  EXPECT_EQ(plain.dropout, 0);
  EXPECT_EQ(plain.targets.pattern, "all-linear");
  EXPECT_FALSE(plain.rslora || plain.dora);
  EXPECT_FALSE(load(whole, {"merge_adapters=false"}).merge_adapters);
}

TEST_F(RecipeTest, ErrorsOfLoraNameTheirPlace) {
  const auto wrong = [&](const std::string& text) {
    return error(replaced(whole, "[embedder]", "[lora]\n" + text + "\n[embedder]"));
  };
  EXPECT_EQ(wrong("rank = 0"), "r.toml:4: lora: 'rank': expected an integer from 1 to 1048576, got 0");
  EXPECT_EQ(wrong("alpha = 0"), "r.toml:4: lora: 'alpha': expected a number above 0, got 0");
  EXPECT_EQ(wrong("dropout = 1"), "r.toml:4: lora: 'dropout': expected a number from 0 to below 1, got 1");
  EXPECT_EQ(wrong("targets = []"),
            "r.toml:4: lora: 'targets': expected a list of one or more strings, got a list");
  EXPECT_EQ(wrong("targets = \"\""),
            "r.toml:4: lora: 'targets': expected a string that is not empty, got \"\"");
  EXPECT_TRUE(wrong("r = 8").starts_with("r.toml:4: lora: unknown key 'r', expected one of rank, alpha,"));
  EXPECT_EQ(error(whole, {"lora=3"}), "--set lora=3: 'lora': expected a table, got 3");
  EXPECT_TRUE(has(error(whole, {"lora.rank=8", "merge_adapters=false"}), "trains the starting model's own"));
  const std::string fresh = new_model + replaced(whole, "model = \"base\"\noutput = \"out/../tuned\"\n", "");
  EXPECT_TRUE(has(error(fresh, {"lora.rank=8"}), "expected merge_output = true beside [model.new]"));
  EXPECT_EQ(error(fresh, {"lora.rank=8", "merge_output=true"}), "no error");
  EXPECT_TRUE(has(error(fresh, {"adapters=[\"x\"]"}), "'adapters': expected a model folder, rather than"));
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
