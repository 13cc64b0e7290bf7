#pragma once
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

struct LogisticRegressionOptions {
  double c = 1.0;  ///< scikit-learn's C: the weight of the data against 1/2 |W|^2
  int64_t max_iterations = 100;
  double tolerance = 1e-4;  ///< on the largest gradient entry
};

/// Multinomial logistic regression on fixed vectors (scikit-learn's LogisticRegression with lbfgs: the
/// intercept is not penalised). train [N, D], labels in [0, classes); returns the predicted class of each row
/// of test [M, D].
std::vector<int64_t> logistic_regression(const at::Tensor& train, const std::vector<int64_t>& labels,
                                         const at::Tensor& test,
                                         const LogisticRegressionOptions& options = {});

struct KMeansOptions {
  int64_t iterations = 100;
  int64_t restarts = 3;  ///< the run with the smallest inertia counts
  uint64_t seed = 42;
};

/// Lloyd's k-means with k-means++ starts: the cluster of each row of points [N, D].
std::vector<int64_t> k_means(const at::Tensor& points, int64_t clusters, const KMeansOptions& options = {});

}  // namespace decovec
