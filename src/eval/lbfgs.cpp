#include "eval/lbfgs.hpp"

#include <deque>
#include <vector>

namespace decovec {
namespace {

using Eigen::VectorXd;

struct Point {
  VectorXd x, gradient;
  double value = 0;
};

// A step and how the gradient changed over it.
struct Pair {
  VectorXd step, change;
  double curvature;  // their dot product, above 0
};

// The two-loop recursion: minus the approximate inverse Hessian times the gradient.
VectorXd descent_direction(const std::deque<Pair>& history, const VectorXd& gradient) {
  if (history.empty()) return -gradient / std::max(1.0, gradient.norm());
  VectorXd direction = -gradient;
  std::vector<double> weights(history.size());
  for (size_t i = history.size(); i-- > 0;) {
    weights[i] = history[i].step.dot(direction) / history[i].curvature;
    direction -= weights[i] * history[i].change;
  }
  direction *= history.back().curvature / history.back().change.squaredNorm();
  for (size_t i = 0; i < history.size(); ++i) {
    const double weight = history[i].change.dot(direction) / history[i].curvature;
    direction += (weights[i] - weight) * history[i].step;
  }
  return direction;
}

// Doubles the step while the slope stays steep and halves the bracket while the value is too high, until both
// Wolfe conditions hold. Returns false where rounding leaves no lower point.
bool line_search(const Objective& objective, const Point& from, const VectorXd& direction, Point& to) {
  constexpr double kDecrease = 1e-4, kSlope = 0.9;
  constexpr int kMaxEvaluations = 50;
  const double slope = from.gradient.dot(direction);
  if (!(slope < 0)) return false;
  double low = 0, high = 0, length = 1;  // high 0: no upper end yet
  for (int i = 0; i < kMaxEvaluations; ++i) {
    to.x = from.x + length * direction;
    to.value = objective(to.x, to.gradient);
    if (!(to.value <= from.value + kDecrease * length * slope)) {  // also where it is not a number
      high = length;
    } else if (to.gradient.dot(direction) < kSlope * slope) {
      low = length;
    } else {
      return true;
    }
    length = high == 0 ? 2 * length : 0.5 * (low + high);
  }
  return false;
}

}  // namespace

VectorXd minimise_lbfgs(const Objective& objective, VectorXd start, const LbfgsOptions& options) {
  Point here{std::move(start), {}, 0}, next;
  here.value = objective(here.x, here.gradient);
  std::deque<Pair> history;
  for (int64_t i = 0; i < options.max_iterations; ++i) {
    if (here.gradient.lpNorm<Eigen::Infinity>() <= options.tolerance) break;
    if (!line_search(objective, here, descent_direction(history, here.gradient), next)) break;
    Pair pair{next.x - here.x, next.gradient - here.gradient, 0};
    pair.curvature = pair.step.dot(pair.change);
    if (pair.curvature > 0) history.push_back(std::move(pair));
    if (static_cast<int64_t>(history.size()) > options.history) history.pop_front();
    std::swap(here, next);
  }
  return here.x;
}

}  // namespace decovec
