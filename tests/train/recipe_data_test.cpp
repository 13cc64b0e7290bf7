// [[data]] of a recipe.
#include "train/recipe_fixture.hpp"

namespace decovec {
namespace {

using namespace test;

TEST_F(RecipeTest, ReadsEveryKeyOfADataSet) {
  const Recipe recipe = load(R"(
[[data]]
name = "pairs"
files = ["a.jsonl"]
query_prompt = "Instruct: x\nQuery: "
document_prompt = "doc: "
kind = "sts"
threshold = 4
weight = 2.5
max_examples = 1000
in_batch_negatives = false
negatives = 7
[[stage]]
name = "one"
)");
  const DataRecipe& data = recipe.data.at(0);
  EXPECT_EQ(data.query_prompt, "Instruct: x\nQuery: ");
  EXPECT_EQ(data.document_prompt, "doc: ");
  EXPECT_EQ(data.kind, DataKind::sts);
  EXPECT_EQ(data.threshold, 4.0);
  EXPECT_EQ(data.weight, 2.5);
  EXPECT_EQ(data.max_examples, 1000);
  EXPECT_FALSE(data.in_batch_negatives);
  EXPECT_EQ(data.negatives, 7);
}

TEST_F(RecipeTest, KindsOfDataSets) {
  EXPECT_EQ(load(whole).data[0].kind, DataKind::retrieval);
  EXPECT_FALSE(load(whole).data[0].threshold);
  EXPECT_EQ(load(whole, {"data.pairs.kind=classification"}).data[0].kind, DataKind::classification);
  EXPECT_EQ(load(whole, {"data.pairs.kind=clustering"}).data[0].kind, DataKind::clustering);
  EXPECT_FALSE(load(whole, {"data.pairs.kind=sts"}).data[0].threshold);
  EXPECT_EQ(error(replaced(whole, "name = \"pairs\"", "name = \"pairs\"\nkind = \"triplets\"")),
            "r.toml:7: data set 'pairs': 'kind': expected \"retrieval\" or \"classification\" or "
            "\"clustering\" or \"sts\", got \"triplets\"");
  EXPECT_EQ(error(replaced(whole, "name = \"pairs\"", "name = \"pairs\"\nthreshold = 4.0")),
            "r.toml:7: data set 'pairs': 'threshold': expected one of kind = \"sts\" alone, got 4");
  EXPECT_EQ(error(replaced(whole, "name = \"pairs\"", "name = \"pairs\"\nkind = \"sts\"\nthreshold = inf")),
            "r.toml:8: data set 'pairs': 'threshold': expected a finite number, got inf");
  EXPECT_EQ(
      error(replaced(whole, "name = \"pairs\"", "name = \"pairs\"\nmax_examples = -1")),
      "r.toml:7: data set 'pairs': 'max_examples': expected an integer from 0 to 1099511627776, got -1");
}

TEST_F(RecipeTest, ErrorsOfADataSetNameFileLineAndPlace) {
  EXPECT_EQ(
      error(replaced(whole, "\"b.jsonl\"", "\"c.jsonl\"")),
      "r.toml:7: data set 'pairs': 'files': expected files that exist; there is no c.jsonl, got \"c.jsonl\"");
  EXPECT_EQ(error(replaced(whole, "files = [\"a.jsonl\", \"b.jsonl\"]\n", "")),
            "r.toml:5: data set 'pairs': 'files' is missing, expected a list of one or more strings");
  EXPECT_EQ(error(replaced(whole, "\"v1.topics\"", "\"pairs\"")),
            "r.toml:9: data set 'pairs': 'name': expected a name that no other data set has, got \"pairs\"");
  EXPECT_TRUE(error(replaced(whole, "\"v1.topics\"", "\"query\""))
                  .starts_with("r.toml:9: data set 'query': 'name': expected another name than query"));
}

}  // namespace
}  // namespace decovec
