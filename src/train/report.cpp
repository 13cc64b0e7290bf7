#include "decovec/train/report.hpp"

#include <cmath>

#include "io/json.hpp"

namespace decovec {

std::string to_json(const StepReport& report) {
  const OrderedJson json = {{"stage", report.stage},
                            {"step", report.step},
                            {"steps", report.steps},
                            {"total_step", report.total_step},
                            {"total_steps", report.total_steps},
                            {"loss", report.loss},
                            {"gradient_norm", report.gradient_norm},
                            {"learning_rate", report.learning_rate},
                            {"tokens", report.tokens},
                            {"truncated", report.truncated},
                            {"masked", report.masked},
                            {"filtered", report.filtered},
                            {"micro_batch_tokens", report.micro_batch_tokens},
                            {"seconds", report.seconds},
                            {"tokens_per_second", report.tokens_per_second},
                            {"seconds_left", report.seconds_left}};
  return json.dump();
}

std::string to_json(const EvaluationReport& report) {
  OrderedJson sets = OrderedJson::object();
  for (const EvaluatedSet& set : report.sets)
    for (const auto& [metric, figure] : set.metrics) sets[set.name][metric] = figure;
  const OrderedJson json = {{"stage", report.stage}, {"step", report.step}, {"total_step", report.total_step},
                            {"evaluation", sets},    {"best", report.best}, {"seconds", report.seconds}};
  return json.dump();
}

namespace {

StepReport step_report(const JsonObject& json) {
  return {.stage = json.string("stage"),
          .step = json.integer("step"),
          .steps = json.integer("steps"),
          .total_step = json.integer("total_step"),
          .total_steps = json.integer("total_steps"),
          .loss = json.number("loss"),
          .gradient_norm = json.number("gradient_norm"),
          .learning_rate = json.number("learning_rate"),
          .tokens = json.integer("tokens"),
          .truncated = json.integer("truncated"),
          .masked = json.integer("masked"),
          .filtered = json.integer("filtered"),
          .micro_batch_tokens = json.integer("micro_batch_tokens"),
          .seconds = json.number("seconds"),
          .tokens_per_second = json.number("tokens_per_second"),
          .seconds_left = json.number("seconds_left")};
}

EvaluationReport evaluation_report(const JsonObject& json, std::string_view line) {
  EvaluationReport report{.stage = json.string("stage"),
                          .step = json.integer("step"),
                          .total_step = json.integer("total_step"),
                          .best = json.boolean("best", false),
                          .seconds = json.number("seconds")};
  const JsonObject sets = json.object("evaluation");
  // In the order of the line, the main figure first; the checked JSON above sorts its keys.
  const OrderedJson ordered = OrderedJson::parse(line).at("evaluation");
  for (const auto& [name, metrics] : ordered.items()) {
    const JsonObject figures = sets.object(name);
    EvaluatedSet& set = report.sets.emplace_back(EvaluatedSet{name, {}});
    for (const auto& [metric, figure] : metrics.items())
      set.metrics.emplace_back(metric, figure.is_null() ? std::nan("") : figures.number(metric));
  }
  return report;
}

}  // namespace

TrainingReport parse_report(std::string_view line, const std::string& where) {
  const JsonObject json(parse_json(line, where), where);
  if (json.has("evaluation")) return evaluation_report(json, line);
  return step_report(json);
}

}  // namespace decovec
