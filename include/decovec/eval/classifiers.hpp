#pragma once
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

struct LogisticRegressionOptions {
  double c = 1.0;  ///< scikit-learn's C: the weight of the data against 1/2 |W|^2
  int64_t max_iterations = 100;
  double tolerance = 1e-4;  ///< on the largest gradient entry of the mean loss
};

/// Multinomial logistic regression on fixed vectors (scikit-learn's LogisticRegression with lbfgs: 1/2 |W|^2
/// + C times the sum of cross-entropies, the intercept not penalised, one weight vector for two classes).
/// train [N, D] with a label a row, two different ones at least; returns the predicted label of each row of
/// test [M, D]. Computes in float64 on the CPU.
std::vector<int64_t> logistic_regression(const at::Tensor& train, const std::vector<int64_t>& labels,
                                         const at::Tensor& test,
                                         const LogisticRegressionOptions& options = {});

struct KMeansOptions {
  int64_t iterations = 100;
  int64_t restarts = 3;  ///< the run with the smallest inertia counts
  uint64_t seed = 42;
};

/// Lloyd's k-means with k-means++ starts (Arthur and Vassilvitskii 2007): the cluster of each row of points
/// [N, D], in [0, clusters). A cluster that loses all its points takes the point farthest from its centre;
/// with fewer different points than clusters some stay empty. The result depends on points and options alone.
std::vector<int64_t> k_means(const at::Tensor& points, int64_t clusters, const KMeansOptions& options = {});

}  // namespace decovec
