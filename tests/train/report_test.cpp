#include "decovec/train/report.hpp"

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
  const StepReport back = parse_step_report(line, "log");
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

TEST(Report, BrokenLinesSayWhere) {
  for (const char* line : {"", "{", "[]", R"({"stage": 3})", R"({"stage": "a", "step": "b"})"}) {
    try {
      parse_step_report(line, "log.jsonl:7");
      FAIL() << line;
    } catch (const std::runtime_error& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with("log.jsonl:7")) << error.what();
    }
  }
}

TEST(LossCurve, ShowsLossesStagesAndTitle) {
  const std::string svg = loss_curve_svg(run(40, 20), "A <run>");
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
    const std::string svg = loss_curve_svg(run(steps, 0));
    expect_well_formed(svg);
    EXPECT_LT(svg.size(), 300000u);
  }
  std::vector<StepReport> constant = run(3, 0);
  for (StepReport& step : constant) step.loss = step.learning_rate = 0;
  expect_well_formed(loss_curve_svg(constant));
}

TEST(LossCurve, LeavesOutLossesThatAreNotFinite) {
  std::vector<StepReport> steps = run(5, 0);
  steps[2].loss = std::numeric_limits<double>::quiet_NaN();
  steps[4].loss = std::numeric_limits<double>::infinity();
  const std::string svg = loss_curve_svg(steps);
  expect_well_formed(svg);
  EXPECT_EQ(count(svg, "<circle"), 3u);
}

}  // namespace
}  // namespace decovec
