#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "decovec/train/train.hpp"

namespace decovec {

/// A step as one line of JSON, without the newline; the keys are the fields' names.
std::string to_json(const StepReport& report);
/// Reads such a line back. Throws std::runtime_error that begins with `where`.
StepReport parse_step_report(std::string_view line, const std::string& where);

/// The training curve as an SVG picture that needs nothing else: each step's loss as a dot, their moving
/// average as a line, the learning rate on its own scale, stages side by side. Losses that are not finite are
/// left out.
std::string loss_curve_svg(const std::vector<StepReport>& steps, const std::string& title = "Training loss");

}  // namespace decovec
