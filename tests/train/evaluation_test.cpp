#include "train/evaluation.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "decovec/eval/tasks.hpp"
#include "io/temporary_folder.hpp"
#include "train/checkpoint.hpp"
#include "train/thread_world.hpp"
#include "train/tiny_run.hpp"

namespace decovec {
namespace {

using test::same_weights, test::tiny_model, test::tiny_recipe;
namespace fs = std::filesystem;

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

class Evaluation : public testing::Test {
 protected:
  Evaluation() {
    write(folder_.path() / "sts/sts.jsonl",
          R"({"sentence1": "a whale", "sentence2": "a dolphin", "score": 4}
{"sentence1": "a whale", "sentence2": "a song", "score": 0}
{"sentence1": "an oak", "sentence2": "a tree", "score": 5}
{"sentence1": "a word", "sentence2": "the evening", "score": 1}
)");
    write(folder_.path() / "search/corpus.jsonl",
          R"({"_id": "d1", "title": "", "text": "a large mammal of the sea"}
{"_id": "d2", "text": "a tree with hard wood"}
{"_id": "d3", "text": "a small ship"}
)");
    write(folder_.path() / "search/queries.jsonl",
          "{\"_id\": \"q1\", \"text\": \"whale\"}\n{\"_id\": \"q2\", \"text\": \"oak\"}\n");
    write(folder_.path() / "search/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n");
    test::write_jsonl(folder_.path() / "held_out.jsonl", test::tiny_definitions());
    recipe_.evaluations = {
        {.name = "held_out", .files = {folder_.path() / "held_out.jsonl"}, .query_prompt = "find: "},
        {.name = "sts", .task = folder_.path() / "sts"},
        {.name = "search", .task = folder_.path() / "search"}};
  }

  std::vector<EvaluationReport> trained(Embedder& model, TrainOptions options = {}) {
    std::vector<EvaluationReport> reports;
    options.on_evaluation = [&](const EvaluationReport& report) { reports.push_back(report); };
    train(model, recipe_, options);
    return reports;
  }

  std::string error_of(const TrainOptions& options = {}) {
    Embedder model = tiny_model();
    try {
      train(model, recipe_, options);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }

  const TemporaryFolder folder_;
  const fs::path checkpoints_ = folder_.path() / "checkpoints";
  Recipe recipe_ = tiny_recipe(folder_.path());  // stages of 4 and 3 steps
};

std::vector<int64_t> steps_of(const std::vector<EvaluationReport>& reports) {
  std::vector<int64_t> steps;
  for (const EvaluationReport& report : reports) steps.push_back(report.total_step);
  return steps;
}

TEST_F(Evaluation, ComesBeforeTheFirstStepAsOftenAsAskedAndAfterEachStage) {
  Embedder model = tiny_model();
  const std::vector<EvaluationReport> seldom = trained(model);
  EXPECT_EQ(steps_of(seldom), (std::vector<int64_t>{0, 4, 7}));
  EXPECT_EQ(seldom[1].stage, "first");
  EXPECT_EQ(seldom[2].stage, "second");
  EXPECT_EQ(seldom[2].step, 3);
  EXPECT_FALSE(seldom[2].best);
  recipe_.evaluate_every = 3;
  Embedder other = tiny_model();
  EXPECT_EQ(steps_of(trained(other)), (std::vector<int64_t>{0, 3, 4, 6, 7}));
}

TEST_F(Evaluation, MeasuresWhatEvaluateMeasuresOfTheTrainedModel) {
  Embedder model = tiny_model();
  const EvaluationReport last = trained(model).back();
  ASSERT_EQ(last.sets.size(), 3u);
  EXPECT_EQ(last.sets[0].name, "held_out");
  EXPECT_EQ(last.sets[0].metrics[0].first, "accuracy");
  EXPECT_EQ(last.sets[1].metrics, evaluate(model, folder_.path() / "sts").metrics);
  EXPECT_EQ(last.sets[2].metrics, evaluate(model, folder_.path() / "search").metrics);
  EXPECT_EQ(last.sets[2].metrics[0].first, "ndcg@10");
}

TEST_F(Evaluation, HeldOutRowsHaveTheirPromptsAndAllNegatives) {
  Embedder model = tiny_model();
  recipe_.evaluations.resize(1);
  recipe_.evaluations[0].in_batch_negatives = false;
  const EvaluationReport last = trained(model).back();
  int64_t above = 0, negatives = 0, right = 0;
  double margin = 0;
  const Dataset rows = test::tiny_definitions();
  for (int64_t i = 0; i < rows.size(); ++i) {
    const Example example = rows.example(i);
    std::vector<std::string> documents = {example.positives[0]};
    documents.insert(documents.end(), example.negatives.begin(), example.negatives.end());
    const EncodeOptions cut = {.prompt = "", .truncate = Truncate::right};
    const at::Tensor scores =
        similarity(model.encode({example.query}, {.prompt = "find: "}), model.encode(documents, cut))[0];
    const double positive = scores[0].item<double>();
    bool first = true;
    for (int64_t n = 1; n < scores.size(0); ++n) {
      ++negatives;
      above += scores[n].item<double>() >= positive;
      first = first && scores[n].item<double>() < positive;
      margin += positive - scores[n].item<double>();
    }
    right += first;
  }
  const std::map<std::string, double> figures(last.sets[0].metrics.begin(), last.sets[0].metrics.end());
  EXPECT_NEAR(figures.at("accuracy"), static_cast<double>(right) / static_cast<double>(rows.size()), 1e-12);
  EXPECT_NEAR(figures.at("negatives_above"), static_cast<double>(above) / static_cast<double>(negatives),
              1e-12);
  EXPECT_NEAR(figures.at("margin"), margin / static_cast<double>(negatives), 1e-6);
}

TEST_F(Evaluation, ChangesNothingOfTheTraining) {
  Embedder without = tiny_model(), with = tiny_model();
  Recipe plain = recipe_;
  plain.evaluations.clear();
  train(without, plain);
  recipe_.evaluate_every = 1;
  recipe_.best = "sts.spearman";
  EXPECT_EQ(trained(with, {.checkpoints = checkpoints_}).size(), 8u);
  EXPECT_TRUE(same_weights(without, with));
}

TEST_F(Evaluation, RanksShareTheTextsAndAgree) {
  recipe_.evaluate_every = 2;
  Embedder alone = tiny_model(Pooling::mean, at::kDouble);
  const std::vector<EvaluationReport> expected = trained(alone);
  for (const int ranks : {2, 3}) {
    ThreadRanks(ranks).run([&](World& world) {
      Embedder part = tiny_model(Pooling::mean, at::kDouble);
      std::vector<EvaluationReport> reports;
      train(part, recipe_,
            {.on_evaluation = [&](const EvaluationReport& report) { reports.push_back(report); },
             .world = &world});
      ASSERT_EQ(reports.size(), expected.size());
      for (size_t i = 0; i < reports.size(); ++i)
        for (size_t set = 0; set < reports[i].sets.size(); ++set)
          for (size_t m = 0; m < reports[i].sets[set].metrics.size(); ++m)
            EXPECT_NEAR(reports[i].sets[set].metrics[m].second, expected[i].sets[set].metrics[m].second,
                        1e-6);
    });
  }
}

/// The total step of the best by what was reported, and its figure.
std::pair<int64_t, double> best_of(const std::vector<EvaluationReport>& reports, size_t set, size_t metric) {
  std::pair<int64_t, double> best = {-1, -2};
  for (const EvaluationReport& report : reports) {
    const double figure = report.sets[set].metrics[metric].second;
    EXPECT_EQ(report.best, figure > best.second);
    if (figure > best.second) best = {report.total_step, figure};
  }
  return best;
}

TEST_F(Evaluation, TheBestModelIsKeptAndOutlivesTheRun) {
  recipe_.evaluate_every = 1;
  recipe_.best = "held_out.margin";
  recipe_.stages[1].learning_rate = 0.5;  // does harm
  std::map<int64_t, std::vector<at::Tensor>> weights;
  Embedder model = tiny_model();
  weights[0] = test::weights_of(model);
  std::vector<EvaluationReport> reports;
  train(model, recipe_,
        {.checkpoints = checkpoints_,
         .on_step = [&](const StepReport& step) { weights[step.total_step] = test::weights_of(model); },
         .on_evaluation = [&](const EvaluationReport& report) { reports.push_back(report); }});
  const auto [step, figure] = best_of(reports, 0, 2);
  EXPECT_GT(step, 0);
  EXPECT_LT(step, 7);
  ASSERT_EQ(best_model(checkpoints_), checkpoints_ / fmt::format("best-{}", step));
  const Embedder best = Embedder::load(*best_model(checkpoints_));
  const std::vector<at::Tensor> kept = test::weights_of(best);
  for (size_t i = 0; i < kept.size(); ++i) EXPECT_TRUE(kept[i].equal(weights.at(step)[i]));
  EXPECT_EQ(best.prompt("definitions"), "find: ");
  remove_checkpoints(checkpoints_);
  EXPECT_FALSE(fs::exists(checkpoints_ / fmt::format("best-{}", step)));
}

TEST_F(Evaluation, FewerNegativesAboveThePositiveAreBetter) {
  const std::vector<EvaluatedSet> sets = {{"a", {{"accuracy", 0.5}, {"negatives_above", 0.2}}}};
  EXPECT_EQ(figure_of_best("a.accuracy", sets), 0.5);
  EXPECT_EQ(figure_of_best("a.negatives_above", sets), -0.2);
  recipe_.best = "sts.pearson";
  EXPECT_EQ(
      error_of({.checkpoints = checkpoints_}),
      "train: recipe: best: expected one of held_out.accuracy, held_out.negatives_above, held_out.margin, "
      "sts.spearman, search.ndcg@10, search.mrr@10, search.recall@100, got 'sts.pearson'");
}

// Killed after any step, also between a best model and the checkpoint that tells of it.
TEST_F(Evaluation, AResumedRunKnowsTheBestSoFar) {
  recipe_.evaluate_every = 1;
  recipe_.best = "held_out.margin";
  Embedder whole = tiny_model();
  const std::vector<EvaluationReport> expected = trained(whole, {.checkpoints = checkpoints_});
  const std::string best = best_model(checkpoints_)->filename();
  for (const int64_t kill : {0, 1, 3, 5, 6}) {
    fs::remove_all(checkpoints_);
    Embedder killed = tiny_model();
    EXPECT_THROW(train(killed, recipe_,
                       {.checkpoints = checkpoints_,
                        .on_evaluation =
                            [&](const EvaluationReport& report) {
                              if (report.total_step == kill + 1) throw std::logic_error("killed");
                            }}),
                 std::logic_error);
    write(checkpoints_ / "best-1000/left", "by a killed run");
    Embedder resumed = tiny_model();
    std::vector<EvaluationReport> reports = trained(resumed, {.checkpoints = checkpoints_, .resume = true});
    EXPECT_TRUE(same_weights(whole, resumed));
    ASSERT_FALSE(reports.empty());
    for (const EvaluationReport& report : reports) {
      const auto same = std::find_if(expected.begin(), expected.end(), [&](const EvaluationReport& other) {
        return other.total_step == report.total_step;
      });
      EXPECT_EQ(report.best, same->best) << "step " << report.total_step << " after " << kill;
    }
    EXPECT_EQ(best_model(checkpoints_)->filename(), best);
  }
}

TEST_F(Evaluation, WhatTheBestDependsOnIsPartOfTheRun) {
  std::stop_source stop;
  stop.request_stop();
  const auto begin = [&] {
    fs::remove_all(checkpoints_);
    Embedder model = tiny_model();
    EXPECT_EQ(train(model, recipe_, {.checkpoints = checkpoints_, .stop = stop.get_token()}),
              TrainResult::stopped);
  };
  begin();
  recipe_.evaluations.pop_back();  // without a best they may change
  EXPECT_EQ(error_of({.checkpoints = checkpoints_, .resume = true}), "");
  recipe_.best = "sts.spearman";
  begin();
  recipe_.best = "held_out.margin";
  EXPECT_NE(error_of({.checkpoints = checkpoints_, .resume = true}).find("best: the checkpoint has"),
            std::string::npos);
  recipe_.best = "sts.spearman";
  fs::remove_all(*best_model(checkpoints_));
  EXPECT_NE(error_of({.checkpoints = checkpoints_, .resume = true}).find("'best': expected the model in"),
            std::string::npos);
}

TEST_F(Evaluation, RefusesSetsItCannotMeasure) {
  const Recipe good = recipe_;
  recipe_.evaluations[1].name = "held_out";
  EXPECT_EQ(error_of(), "train: evaluation 'held_out': expected a name that no other has");
  recipe_ = good;
  recipe_.evaluations[0].task = folder_.path() / "sts";
  EXPECT_EQ(error_of(), "train: evaluation 'held_out': expected either a task folder or files, got both");
  recipe_ = good;
  recipe_.best = "sts.spearman";
  EXPECT_EQ(error_of(), "train: recipe: best: expected a folder of checkpoints, where it is kept, got none");
  recipe_ = good;
  write(folder_.path() / "sts/sts.jsonl", "{\"sentence1\": \"a\"}\n");
  EXPECT_NE(error_of().find("sts.jsonl:1: 'sentence2'"), std::string::npos) << error_of();
  recipe_.evaluations.resize(1);
  write(folder_.path() / "held_out.jsonl", "{\"query\": \"a\"}\n");
  EXPECT_NE(error_of().find("held_out.jsonl:1: 'pos'"), std::string::npos) << error_of();
}

}  // namespace
}  // namespace decovec
