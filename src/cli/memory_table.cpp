#include "cli/memory_table.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "cli/terminal.hpp"

namespace decovec::cli {
namespace {

std::string gigabytes(int64_t bytes) { return fmt::format("{:.2f}", static_cast<double>(bytes) * 1e-9); }

}  // namespace

std::vector<std::string> memory_table(const std::vector<MemoryPlan>& plans) {
  std::vector<std::vector<std::string>> rows = {{"memory in GB", "weights", "masters", "optimizer",
                                                 "gradients", "micro batch", "embeddings", "scores", "peak",
                                                 "available", "micro_batch_tokens", "up to"}};
  for (const MemoryPlan& plan : plans)
    rows.push_back({plan.stage, gigabytes(plan.weights), gigabytes(plan.masters), gigabytes(plan.optimizer),
                    gigabytes(plan.gradients), gigabytes(plan.micro_batch), gigabytes(plan.embeddings),
                    gigabytes(plan.scores), gigabytes(plan.peak()),
                    plan.available ? gigabytes(*plan.available) : "unknown",
                    std::to_string(plan.micro_batch_tokens), std::to_string(plan.fitting_tokens)});
  std::vector<std::string> lines(rows.size());
  for (size_t column = 0; column < rows[0].size(); ++column) {
    size_t width = 0;
    for (const auto& row : rows) width = std::max(width, row[column].size());
    for (size_t i = 0; i < rows.size(); ++i)
      lines[i] += column == 0 ? fmt::format("{:<{}}", rows[i][column], width)
                              : fmt::format("  {:>{}}", rows[i][column], width);
  }
  return lines;
}

void warn_of_memory(const std::vector<MemoryPlan>& plans, const Recipe& recipe) {
  for (size_t i = 0; i < plans.size(); ++i) {
    const MemoryPlan& plan = plans[i];
    if (plan.fits()) continue;
    const std::string cure =
        plan.fitting_tokens > 0
            ? fmt::format("micro_batch_tokens = {} fits", plan.fitting_tokens)
            : fmt::format(
                  "no micro_batch_tokens fits: {}lower batch_size or max_length, or train in bfloat16 "
                  "or on more ranks",
                  recipe.stages[i].gradient_checkpointing ? "" : "set gradient_checkpointing = true, ");
    log_warning(fmt::format("stage '{}' may take about {} GB of memory of {} GB available; {}", plan.stage,
                            gigabytes(plan.peak()), gigabytes(*plan.available), cure));
  }
}

}  // namespace decovec::cli
