// Keys of a recipe that are set from outside of its file.
#include "train/recipe_fixture.hpp"

namespace decovec {
namespace {

using namespace test;

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

TEST_F(RecipeTest, OverridesReachIntoTables) {
  const Recipe recipe =
      load(whole, {"stage.retrieval.matryoshka.dimensions=[4, 2]", "stage.retrieval.filter.margin=0.25",
                   "stage.retrieval.matryoshka.weights=[1, 0.5]"});
  EXPECT_EQ(
      recipe.stages[0].losses[0].description,
      "info_nce(filter = { margin = 0.25 }, matryoshka = { dimensions = [ 4, 2 ], weights = [ 1, 0.5 ] })");
  EXPECT_EQ(rejection("stage.retrieval.steps.x=1"), "--set stage.retrieval.steps.x=1: 'steps' is no table");
  EXPECT_TRUE(error(whole, {"stage.retrieval.matryoska.dimensions=[4]"}).find("unknown key 'matryoska'") !=
              std::string::npos);
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

}  // namespace
}  // namespace decovec
