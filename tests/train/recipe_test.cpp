#include "decovec/train/recipe.hpp"

#include <cstdlib>
#include <fstream>

#include "decovec/world/random.hpp"
#include "train/recipe_fixture.hpp"

namespace decovec {
namespace {

using namespace test;

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

TEST_F(RecipeTest, ReadsEveryKeyOfTheRoot) {
  const Recipe recipe = load(R"(
model = "base"
output = "/elsewhere/out"
seed = 9223372036854775807
dtype = "bfloat16"
checkpoint_every = 0
[[data]]
name = "pairs"
files = ["a.jsonl"]
[[stage]]
name = "one"
)");
  EXPECT_EQ(recipe.model, folder_ / "base");
  EXPECT_EQ(recipe.output, "/elsewhere/out");
  EXPECT_EQ(recipe.seed, 9223372036854775807u);
  EXPECT_EQ(recipe.dtype, at::kBFloat16);
  EXPECT_EQ(recipe.checkpoint_every, 0);
}

TEST_F(RecipeTest, ErrorsNameFileLineAndExpectation) {
  EXPECT_EQ(error(replaced(whole, "[embedder]", "dtype = \"float16\"\n[embedder]")),
            "r.toml:3: 'dtype': expected \"float32\" or \"bfloat16\", got \"float16\"");
  EXPECT_EQ(error(replaced(whole, "[embedder]", "seed = -1\n[embedder]")),
            "r.toml:3: 'seed': expected an integer from 0 to 9223372036854775807, got -1");
  EXPECT_TRUE(
      error(replaced(whole, "[embedder]", "sed = 1\n[embedder]")).starts_with("r.toml:3: unknown key 'sed'"));
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

TEST_F(RecipeTest, TheExampleRecipeLoads) {
  const fs::path source = fs::path(std::getenv("DECOVEC_TEST_DATA")) / "../../recipes/nv_embed.toml";
  fs::copy_file(source, folder_ / "nv_embed.toml");
  fs::create_directories(folder_ / "data");
  for (const char* name : {"search", "topics", "similar"}) {
    std::ofstream(folder_ / "data" / fmt::format("{}.jsonl", name)) << "\n";
  }
  const Recipe recipe =
      Recipe::load(folder_ / "nv_embed.toml", {"stage.retrieval.steps=100", "output=trial"});
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

}  // namespace
}  // namespace decovec
