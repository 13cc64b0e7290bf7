#pragma once
#include <Eigen/Core>
#include <cstdint>
#include <functional>

namespace decovec {

/// The value at `x`; writes the gradient.
using Objective = std::function<double(const Eigen::VectorXd& x, Eigen::VectorXd& gradient)>;

struct LbfgsOptions {
  int64_t max_iterations = 100;
  double tolerance = 1e-4;  ///< stops where no gradient entry is larger
  int64_t history = 10;     ///< steps remembered
};

/// A minimum of a smooth convex function by limited-memory BFGS (Nocedal and Wright 2006, algorithm 7.5) with
/// a line search for the Wolfe conditions by doubling and halving. Stops also where no step gets lower.
Eigen::VectorXd minimise_lbfgs(const Objective& objective, Eigen::VectorXd start,
                               const LbfgsOptions& options = {});

}  // namespace decovec
