// What a run says of the memory that it will take.
#pragma once
#include <string>
#include <vector>

#include "decovec/train/memory_plan.hpp"

namespace decovec::cli {

/// A line of names, and one of gigabytes for each stage.
std::vector<std::string> memory_table(const std::vector<MemoryPlan>& plans);

/// Warns of stages that do not fit, with the cure. A plan is an estimate: it refuses nothing.
void warn_of_memory(const std::vector<MemoryPlan>& plans, const Recipe& recipe);

}  // namespace decovec::cli
