#include "decovec/train/report.hpp"

#include <cmath>
#include <gtest/gtest.h>
#include <limits>

namespace decovec {
namespace {

std::vector<StepReport> run(int64_t first_steps, int64_t second_steps) {
  std::vector<StepReport> steps;
  for (int64_t t = 1; t <= first_steps + second_steps; ++t) {
    StepReport step;
    step.stage = t <= first_steps ? "retrieval" : "blend <&>";
    step.total_step = t;
    step.loss = 4.0 / (1.0 + 0.05 * static_cast<double>(t)) + (t % 2 == 0 ? 0.1 : -0.1);
    step.learning_rate = 1e-4 * static_cast<double>(first_steps + second_steps - t);
    steps.push_back(step);
  }
  return steps;
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// Every element is closed, and nothing but numbers stands where a picture needs numbers.
void expect_well_formed(const std::string& svg) {
  std::vector<std::string> open;
  for (size_t begin = svg.find('<'); begin != std::string::npos; begin = svg.find('<', begin + 1)) {
    const size_t end = svg.find('>', begin);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = svg.substr(begin + 1, end - begin - 1);
    if (tag.starts_with('?') || tag.ends_with('/')) continue;
    const bool closes = tag.starts_with('/');
    const std::string name = tag.substr(closes, tag.find(' ') - closes);
    if (!closes) {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty());
    ASSERT_EQ(open.back(), name);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(Report, AStepIsOneLineOfJsonAndComesBack) {
  const StepReport report{.stage = "re\"trieval\n",
                          .step = 3,
                          .steps = 10,
                          .total_step = 13,
                          .total_steps = 20,
                          .loss = 0.1,
                          .gradient_norm = 1e-30,
                          .learning_rate = 2e-5,
                          .tokens = 4096,
                          .truncated = 2,
                          .masked = 5,
                          .filtered = 6,
                          .seconds = 0.25,
                          .tokens_per_second = 16384,
                          .seconds_left = 1.75};
  const std::string line = to_json(report);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto back = std::get<StepReport>(parse_report(line, "log"));
  EXPECT_EQ(back.stage, report.stage);
  EXPECT_EQ(back.step, report.step);
  EXPECT_EQ(back.total_steps, report.total_steps);
  EXPECT_EQ(back.loss, report.loss);
  EXPECT_EQ(back.gradient_norm, report.gradient_norm);
  EXPECT_EQ(back.masked, report.masked);
  EXPECT_EQ(back.filtered, report.filtered);
  EXPECT_EQ(back.seconds_left, report.seconds_left);
  EXPECT_EQ(to_json(back), line);
}

TEST(Report, AnEvaluationIsOneLineOfJsonAndComesBackInItsOrder) {
  const EvaluationReport report{.stage = "blend",
                                .step = 3,
                                .total_step = 13,
                                .sets = {{"sts", {{"spearman", std::numeric_limits<double>::quiet_NaN()}}},
                                         {"a \"set\"", {{"ndcg@10", 0.1}, {"mrr@10", 1.0 / 3}}}},
                                .best = true,
                                .seconds = 0.5};
  const std::string line = to_json(report);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto back = std::get<EvaluationReport>(parse_report(line, "log"));
  EXPECT_EQ(back.stage, "blend");
  EXPECT_EQ(back.total_step, 13);
  EXPECT_TRUE(back.best);
  ASSERT_EQ(back.sets.size(), 2u);
  EXPECT_EQ(back.sets[0].name, "sts");
  EXPECT_TRUE(std::isnan(back.sets[0].metrics[0].second));
  EXPECT_EQ(back.sets[1].metrics, report.sets[1].metrics);
  EXPECT_EQ(to_json(back), line);
}

TEST(Report, BrokenLinesSayWhere) {
  for (const char* line :
       {"", "{", "[]", R"({"stage": 3})", R"({"stage": "a", "step": "b"})",
        R"({"stage": "a", "step": 1, "total_step": 1, "seconds": 1, "evaluation": []})",
        R"({"stage": "a", "step": 1, "total_step": 1, "seconds": 1, "evaluation": {"a": 1}})",
        R"({"stage": "a", "step": 1, "total_step": 1, "seconds": 1, "evaluation": {"a": {"b": "c"}}})"}) {
    try {
      parse_report(line, "log.jsonl:7");
      FAIL() << line;
    } catch (const std::runtime_error& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with("log.jsonl:7")) << error.what();
    }
  }
}

TEST(LossCurve, ShowsLossesStagesAndTitle) {
  const std::string svg = training_curve_svg(run(40, 20), {}, "A <run>");
  expect_well_formed(svg);
  EXPECT_EQ(count(svg, "<circle"), 60u);
  EXPECT_EQ(count(svg, "<polyline"), 3u);  // the rate, and the average of each stage
  EXPECT_EQ(count(svg, ">retrieval<"), 1u);
  EXPECT_EQ(count(svg, ">blend &lt;&amp;&gt;<"), 1u);
  EXPECT_EQ(count(svg, "A &lt;run&gt;"), 1u);
  EXPECT_EQ(count(svg, "http"), 1u);  // the name space, and nothing to fetch
}

TEST(LossCurve, TakesAnyNumberOfSteps) {
  for (const int64_t steps : {0, 1, 2, 5000}) {
    const std::string svg = training_curve_svg(run(steps, 0));
    expect_well_formed(svg);
    EXPECT_LT(svg.size(), 300000u);
  }
  std::vector<StepReport> constant = run(3, 0);
  for (StepReport& step : constant) step.loss = step.learning_rate = 0;
  expect_well_formed(training_curve_svg(constant));
}

TEST(LossCurve, ShowsTheMainFigureOfEachHeldOutSet) {
  const std::vector<StepReport> steps = run(40, 20);
  std::vector<EvaluationReport> evaluations;
  for (const int64_t step : {0, 20, 40, 60})
    evaluations.push_back(
        {.stage = "a",
         .total_step = step,
         .sets = {{"sts <1>", {{"spearman", 0.01 * static_cast<double>(step)}, {"other", 5}}},
                  {"search", {{"ndcg@10", step == 20 ? std::numeric_limits<double>::quiet_NaN() : 0.5}}}}});
  const std::string svg = training_curve_svg(steps, evaluations);
  expect_well_formed(svg);
  EXPECT_EQ(count(svg, "<polyline"), 5u);
  EXPECT_EQ(count(svg, "<rect"), 1u + 4u + 3u);  // the background, and a mark for each figure
  EXPECT_EQ(count(svg, ">sts &lt;1&gt; spearman: 0.6000<"), 1u);
  EXPECT_EQ(count(svg, ">search ndcg@10: 0.5000<"), 1u);
  EXPECT_EQ(training_curve_svg(steps), training_curve_svg(steps, {}));
  EXPECT_EQ(count(training_curve_svg({}, evaluations), "no steps"), 1u);
}

TEST(LossCurve, LeavesOutLossesThatAreNotFinite) {
  std::vector<StepReport> steps = run(5, 0);
  steps[2].loss = std::numeric_limits<double>::quiet_NaN();
  steps[4].loss = std::numeric_limits<double>::infinity();
  const std::string svg = training_curve_svg(steps);
  expect_well_formed(svg);
  EXPECT_EQ(count(svg, "<circle"), 3u);
}

}  // namespace
}  // namespace decovec
