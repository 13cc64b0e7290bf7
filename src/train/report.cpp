#include "decovec/train/report.hpp"

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

StepReport parse_step_report(std::string_view line, const std::string& where) {
  const JsonObject json(parse_json(line, where), where);
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

}  // namespace decovec
