#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <iterator>

#include "decovec/train/report.hpp"

namespace decovec {
namespace {

constexpr double kWidth = 960, kHeight = 540, kLeft = 70, kRight = 880, kTop = 60, kBottom = 480;
constexpr double kScoresTop = 540, kScoresBottom = 760, kHeightWithScores = 820;
constexpr size_t kMaxPoints = 2000;  // more would be finer than a pixel
constexpr const char* kLossColour = "#1f5fbf";
constexpr const char* kRateColour = "#c8641e";
constexpr const char* kScoreColours[] = {"#2a8a3e", "#8a2a8a", "#b03030", "#1f8a9f", "#8a7a1f", "#555555"};

/// Values to pixels along one axis.
struct Axis {
  double low, high, from, to;
  double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

Axis make_axis(double low, double high, double from, double to) {
  if (high <= low) {  // one value: give it room
    const double room = low == 0 ? 1 : std::abs(low) / 2;
    low -= room;
    high += room;
  }
  return {low, high, from, to};
}

/// Round numbers within the axis, about `count` of them: multiples of 1, 2 or 5 times a power of ten.
std::vector<double> ticks(const Axis& axis, double count) {
  const double rough = (axis.high - axis.low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0})
    if (factor * power >= rough) step = factor * power;
  std::vector<double> values;
  for (double i = std::ceil(axis.low / step - 1e-9); i * step <= axis.high + 1e-9 * step; ++i)
    values.push_back(i * step + 0.0);  // turns -0 into 0
  return values;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;  // XML has no control characters
    }
  }
  return out;
}

/// The mean of each loss and its neighbours on both sides within the stage, fewer towards the stage's ends.
std::vector<double> smoothed(const std::vector<StepReport>& steps) {
  const size_t reach = steps.size() / 80 + 1;
  std::vector<double> means, sums = {0};  // sums[i]: of the losses before i
  for (const StepReport& step : steps) sums.push_back(sums.back() + step.loss);
  for (size_t begin = 0, end = 0; begin < steps.size(); begin = end) {
    while (end < steps.size() && steps[end].stage == steps[begin].stage) ++end;
    for (size_t i = begin; i < end; ++i) {
      const size_t sides = std::min({reach, i - begin, end - 1 - i});
      means.push_back((sums[i + sides + 1] - sums[i - sides]) / static_cast<double>(2 * sides + 1));
    }
  }
  return means;
}

class Picture {
 public:
  Picture(const std::string& title, double height) : height_(height) {
    add(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" )"
        R"(font-family="sans-serif" font-size="13">)",
        kWidth, height);
    add(R"(<rect width="{}" height="{}" fill="white"/>)", kWidth, height);
    text((kLeft + kRight) / 2, 28, "middle", "#222222", title, 17);
  }

  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(svg_), format, std::forward<Args>(args)...);
    svg_ += '\n';
  }

  void text(double x, double y, const char* anchor, const char* colour, std::string_view words,
            int size = 13) {
    add(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}" font-size="{}">{}</text>)", x, y, anchor,
        colour, size, escaped(words));
  }

  void line(double x1, double y1, double x2, double y2, const char* colour, const char* dashes = "none") {
    add(R"(<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" stroke="{}" stroke-dasharray="{}"/>)", x1,
        y1, x2, y2, colour, dashes);
  }

  void polyline(const std::vector<std::pair<double, double>>& points, const char* colour, double width) {
    std::string list;
    for (const auto& [x, y] : points) fmt::format_to(std::back_inserter(list), "{:.1f},{:.1f} ", x, y);
    add(R"(<polyline points="{}" fill="none" stroke="{}" stroke-width="{}"/>)", list, colour, width);
  }

  double height() const { return height_; }
  std::string finish() { return std::move(svg_) + "</svg>\n"; }

 private:
  double height_;
  std::string svg_;
};

void draw_axes(Picture& picture, const Axis& x, const Axis& loss, const Axis& rate) {
  for (const double value : ticks(loss, 7)) {
    picture.line(kLeft, loss(value), kRight, loss(value), "#e4e4e4");
    picture.text(kLeft - 8, loss(value) + 4, "end", kLossColour, fmt::format("{:.6g}", value));
  }
  for (const double value : ticks(rate, 5))
    picture.text(kRight + 8, rate(value) + 4, "start", kRateColour, fmt::format("{:.3g}", value));
  for (const double value : ticks(x, 9)) {
    if (value != std::floor(value)) continue;
    picture.line(x(value), kBottom, x(value), kBottom + 5, "#444444");
    picture.text(x(value), kBottom + 20, "middle", "#444444", fmt::format("{:.0f}", value));
  }
  picture.line(kLeft, kBottom, kRight, kBottom, "#444444");
  picture.text((kLeft + kRight) / 2, picture.height() - 14, "middle", "#444444", "step");
  picture.text(kLeft, kTop - 12, "end", kLossColour, "loss");
  picture.text(kWidth - 12, kTop - 12, "end", kRateColour, "learning rate");
}

void draw_stages(Picture& picture, const std::vector<StepReport>& steps, const Axis& x) {
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool begins = i == 0 || steps[i].stage != steps[i - 1].stage;
    if (!begins) continue;
    const double at = x(static_cast<double>(steps[i].total_step) - (i == 0 ? 0 : 0.5));
    if (i > 0) picture.line(at, kTop, at, kBottom, "#888888", "5 4");
    picture.text(at + 5, kTop + 12, "start", "#666666", steps[i].stage);
  }
}

/// A held-out set's main figure over the steps, those that are finite.
struct ScoreLine {
  std::string name;
  std::vector<std::pair<double, double>> points = {};  // total step, figure
};

std::vector<ScoreLine> score_lines(const std::vector<EvaluationReport>& evaluations) {
  std::vector<ScoreLine> lines;
  for (const EvaluationReport& evaluation : evaluations) {
    for (const EvaluatedSet& set : evaluation.sets) {
      if (set.metrics.empty() || !std::isfinite(set.metrics.front().second)) continue;
      const std::string name = set.name + " " + set.metrics.front().first;
      auto line = std::find_if(lines.begin(), lines.end(),
                               [&](const ScoreLine& known) { return known.name == name; });
      if (line == lines.end()) line = lines.insert(lines.end(), ScoreLine{name});
      line->points.emplace_back(static_cast<double>(evaluation.total_step), set.metrics.front().second);
    }
  }
  return lines;
}

void draw_scores(Picture& picture, const std::vector<ScoreLine>& lines, const Axis& x) {
  double low = lines.front().points.front().second, high = low;
  for (const ScoreLine& line : lines) {
    for (const auto& [step, figure] : line.points) {
      low = std::min(low, figure);
      high = std::max(high, figure);
    }
  }
  const double room = 0.05 * (high - low);
  const Axis score = make_axis(low - room, high + room, kScoresBottom, kScoresTop);
  for (const double value : ticks(score, 4)) {
    picture.line(kLeft, score(value), kRight, score(value), "#e4e4e4");
    picture.text(kLeft - 8, score(value) + 4, "end", "#444444", fmt::format("{:.6g}", value));
  }
  picture.line(kLeft, kScoresBottom, kRight, kScoresBottom, "#444444");
  for (size_t i = 0; i < lines.size(); ++i) {
    const char* colour = kScoreColours[i % std::size(kScoreColours)];
    std::vector<std::pair<double, double>> points;
    for (const auto& [step, figure] : lines[i].points) {
      points.emplace_back(x(step), score(figure));
      picture.add(R"(<rect x="{:.1f}" y="{:.1f}" width="5" height="5" fill="{}"/>)", x(step) - 2.5,
                  score(figure) - 2.5, colour);
    }
    picture.polyline(points, colour, 1.5);
    picture.text(kRight - 6, kScoresBottom - 8 - 16 * static_cast<double>(lines.size() - 1 - i), "end",
                 colour, fmt::format("{}: {:.4f}", lines[i].name, lines[i].points.back().second));
  }
}

}  // namespace

std::string training_curve_svg(const std::vector<StepReport>& reports,
                               const std::vector<EvaluationReport>& evaluations, const std::string& title) {
  const std::vector<ScoreLine> scores = score_lines(evaluations);
  Picture picture(title, scores.empty() ? kHeight : kHeightWithScores);
  std::vector<StepReport> steps;
  std::copy_if(reports.begin(), reports.end(), std::back_inserter(steps), [](const StepReport& step) {
    return std::isfinite(step.loss) && std::isfinite(step.learning_rate);
  });
  if (steps.empty()) {
    picture.text(kWidth / 2, kHeight / 2, "middle", "#666666", "no steps");
    return picture.finish();
  }

  const auto by_loss = [](const StepReport& a, const StepReport& b) { return a.loss < b.loss; };
  const auto [lowest, highest] = std::minmax_element(steps.begin(), steps.end(), by_loss);
  const double room = 0.05 * (highest->loss - lowest->loss);
  double top_rate = 0;
  for (const StepReport& step : steps) top_rate = std::max(top_rate, step.learning_rate);
  const auto first_step = static_cast<double>(steps.front().total_step);
  const Axis x =
      make_axis(scores.empty() ? first_step : std::min(first_step, scores.front().points.front().first),
                static_cast<double>(steps.back().total_step), kLeft, kRight);
  const Axis loss = make_axis(lowest->loss - room, highest->loss + room, kBottom, kTop);
  const Axis rate = make_axis(0, top_rate * 1.05, kBottom, kTop);
  draw_axes(picture, x, loss, rate);
  draw_stages(picture, steps, x);

  const std::vector<double> averages = smoothed(steps);
  const size_t stride = (steps.size() + kMaxPoints - 1) / kMaxPoints;
  std::vector<std::pair<double, double>> rates, line;
  picture.add(R"(<g fill="{}" fill-opacity="0.3">)", kLossColour);
  for (size_t i = 0; i < steps.size(); i += stride) {
    const double at = x(static_cast<double>(steps[i].total_step));
    picture.add(R"(<circle cx="{:.1f}" cy="{:.1f}" r="1.8"/>)", at, loss(steps[i].loss));
    rates.emplace_back(at, rate(steps[i].learning_rate));
  }
  picture.add("</g>");
  picture.polyline(rates, kRateColour, 1);
  for (size_t i = 0; i < steps.size(); ++i) {  // a line a stage
    const bool ends = i + 1 == steps.size() || steps[i + 1].stage != steps[i].stage;
    if (i % stride == 0 || ends)
      line.emplace_back(x(static_cast<double>(steps[i].total_step)), loss(averages[i]));
    if (ends) picture.polyline(std::exchange(line, {}), kLossColour, 2);
  }
  if (!scores.empty()) draw_scores(picture, scores, x);
  return picture.finish();
}

}  // namespace decovec
