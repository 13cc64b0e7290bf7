#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "decovec/train/train.hpp"

namespace decovec {

/// A step or an evaluation as one line of JSON, without the newline; the keys are the fields' names, but an
/// evaluation's sets are {name: {metric: figure}} under "evaluation".
std::string to_json(const StepReport& report);
std::string to_json(const EvaluationReport& report);

using TrainingReport = std::variant<StepReport, EvaluationReport>;
/// Reads such a line back. Throws std::runtime_error that begins with `where`.
TrainingReport parse_report(std::string_view line, const std::string& where);

/// The training curve as an SVG picture that needs nothing else: each step's loss as a dot, their moving
/// average as a line, the learning rate on its own scale, stages side by side; below them, where there are
/// evaluations, the main figure of each held-out set. Losses and figures that are not finite are left out.
std::string training_curve_svg(const std::vector<StepReport>& steps,
                               const std::vector<EvaluationReport>& evaluations = {},
                               const std::string& title = "Training loss");

}  // namespace decovec
