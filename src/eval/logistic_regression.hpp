#pragma once
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/eval/classifiers.hpp"

namespace decovec {

/// Scores of a row x: x weight^T + bias, a score a class.
struct LinearClassifier {
  std::vector<int64_t> classes;  ///< the labels seen, ascending
  at::Tensor weight;  ///< [classes, D] float64; [1, D] for two classes: the second against the first
  at::Tensor bias;    ///< [classes], [1] for two

  std::vector<int64_t> predict(const at::Tensor& rows) const;
};

/// Minimises mean cross-entropy + |W|^2 / (2 C N), scikit-learn's scaling, to which `tolerance` refers. As
/// there, two classes have one weight vector.
LinearClassifier fit_logistic_regression(const at::Tensor& train, const std::vector<int64_t>& labels,
                                         const LogisticRegressionOptions& options = {});

}  // namespace decovec
