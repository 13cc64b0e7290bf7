// Side by side with sentence-transformers' trainer, whose run tests/data/train/trainer_reference.py stored.
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "decovec/train/train.hpp"
#include "io/json.hpp"
#include "train/tiny_run.hpp"

namespace decovec {
namespace {

using test::find_case, test::ModelFolder, test::test_data;

using Losses = std::vector<double>;

Dataset rows(const Json& list) {
  std::vector<Example> examples;
  for (const Json& row : list) examples.push_back({row.at("query"), row.at("pos"), row.at("neg")});
  return {"triples", std::move(examples)};
}

/// The share of queries that are nearer to their own positive than to any other document.
double held_out_score(const Embedder& model, const Dataset& held_out, const std::string& query_prompt) {
  std::vector<std::string> queries, documents;
  for (int64_t i = 0; i < held_out.size(); ++i) {
    queries.push_back(held_out.example(i).query);
    documents.push_back(held_out.example(i).positives[0]);
  }
  for (int64_t i = 0; i < held_out.size(); ++i) documents.push_back(held_out.example(i).negatives[0]);
  const at::Tensor scores = similarity(model.encode(queries, {.prompt = query_prompt}),
                                       model.encode(documents, {.prompt = std::string()}));
  return scores.argmax(1).eq(at::arange(scores.size(0))).to(at::kDouble).mean().item<double>();
}

class TrainerReference : public testing::Test {
 protected:
  const Json reference_ = read_json(test_data() / "train/trainer.json");
  const Json run_ = reference_.at("run");
  const ModelFolder folder_{find_case("vectors", "st_mean")};

  struct Outcome {
    Losses losses;
    double held_out_score;
  };

  Outcome trained(at::ScalarType dtype, int64_t micro_batch_tokens) const {
    Recipe recipe;
    recipe.seed = run_.at("seed");
    recipe.checkpoint_every = 0;
    test::write_jsonl(folder_.path() / "rows.jsonl", rows(reference_.at("training")));
    recipe.data = {{.name = "triples",
                    .files = {folder_.path() / "rows.jsonl"},
                    .query_prompt = run_.at("query_prompt"),
                    .document_prompt = run_.at("document_prompt")}};
    StageRecipe& stage = recipe.stages.emplace_back();
    stage.name = run_.at("stage");
    stage.losses[0].loss = [options = InfoNceOptions{.temperature = run_.at("temperature").get<double>()}](
                               const Embeddings& embeddings, const Relation& relation, FilterCounts* counts) {
      return info_nce(embeddings, relation, options, counts);
    };
    stage.batch_size = run_.at("batch_size");
    stage.micro_batch_tokens = micro_batch_tokens;
    stage.steps = run_.at("steps");
    stage.learning_rate = run_.at("learning_rate");
    stage.warmup_steps = run_.at("warmup_steps");
    stage.weight_decay = run_.at("weight_decay");
    Embedder model = Embedder::load(folder_.path(), {.dtype = dtype});
    Outcome outcome;
    train(model, recipe,
          {.on_step = [&](const StepReport& report) { outcome.losses.push_back(report.loss); }});
    outcome.held_out_score = held_out_score(model, rows(reference_.at("held_out")), run_.at("query_prompt"));
    return outcome;
  }
};

double largest_difference(const Losses& a, const Losses& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

TEST_F(TrainerReference, TheLossesOfFiftyStepsAreTheSameInFloat64) {
  const Outcome ours = trained(at::kDouble, 200);
  for (const char* run : {"float64", "float64_cached"}) {
    const Json& expected = reference_.at(run);
    EXPECT_LT(largest_difference(ours.losses, expected.at("losses").get<Losses>()), 1e-9) << run;
    EXPECT_EQ(ours.held_out_score, expected.at("held_out_score")) << run;
  }
}

// Rounding grows over the steps: sentence-transformers' own two losses of the same batches drift apart too.
TEST_F(TrainerReference, TheLossesAgreeWithinRoundingInFloat32) {
  const auto exact = reference_.at("float64").at("losses").get<Losses>();
  const auto plain = reference_.at("float32").at("losses").get<Losses>();
  const auto cached = reference_.at("float32_cached").at("losses").get<Losses>();
  const double noise = std::max(largest_difference(plain, exact), largest_difference(cached, exact));
  for (const int64_t micro_batch_tokens : {200, 100000}) {
    const Outcome ours = trained(at::kFloat, micro_batch_tokens);
    EXPECT_NEAR(ours.losses[0], plain[0], 1e-5);
    EXPECT_NEAR(ours.losses[0], cached[0], 1e-5);
    EXPECT_LT(largest_difference(ours.losses, exact), 3 * noise);
    EXPECT_EQ(ours.held_out_score, reference_.at("float32").at("held_out_score"));
    EXPECT_EQ(ours.held_out_score, reference_.at("float32_cached").at("held_out_score"));
  }
}

}  // namespace
}  // namespace decovec
