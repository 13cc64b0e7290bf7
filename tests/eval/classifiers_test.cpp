#include "decovec/eval/classifiers.hpp"

#include <gtest/gtest.h>
#include <numeric>
#include <set>

#include <ATen/ATen.h>

#include "decovec/eval/metrics.hpp"
#include "decovec/world/random.hpp"
#include "eval/lbfgs.hpp"
#include "eval/logistic_regression.hpp"
#include "io/json.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

at::Tensor matrix(const Json& rows) {
  std::vector<at::Tensor> tensors;
  for (const Json& row : rows) tensors.push_back(at::tensor(row.get<std::vector<double>>(), at::kDouble));
  return at::stack(tensors);
}

at::Tensor vector(const Json& values) { return at::tensor(values.get<std::vector<double>>(), at::kDouble); }

Json cases() { return read_json(test_data() / "eval" / "classifiers.json"); }

TEST(Lbfgs, FindsTheMinimumOfAnIllConditionedQuadratic) {
  const Eigen::VectorXd scale = (Eigen::VectorXd(5) << 1e-2, 1, 10, 1e3, 1e4).finished();
  const Eigen::VectorXd minimum = (Eigen::VectorXd(5) << 3, -2, 1, 0.5, -7).finished();
  int evaluations = 0;
  const auto quadratic = [&](const Eigen::VectorXd& x, Eigen::VectorXd& gradient) {
    ++evaluations;
    gradient = scale.cwiseProduct(x - minimum);
    return 0.5 * gradient.dot(x - minimum);
  };
  const Eigen::VectorXd found =
      minimise_lbfgs(quadratic, Eigen::VectorXd::Zero(5), {.max_iterations = 200, .tolerance = 1e-9});
  EXPECT_LT((found - minimum).lpNorm<Eigen::Infinity>(), 1e-6);
  EXPECT_LT(evaluations, 200);
}

TEST(Lbfgs, StopsAtOnceAtAMinimumAndAfterItsIterations) {
  int evaluations = 0;
  const auto bowl = [&](const Eigen::VectorXd& x, Eigen::VectorXd& gradient) {
    ++evaluations;
    gradient = x;
    return 0.5 * x.squaredNorm();
  };
  EXPECT_EQ(minimise_lbfgs(bowl, Eigen::VectorXd::Zero(2)).norm(), 0);
  EXPECT_EQ(evaluations, 1);
  EXPECT_EQ(minimise_lbfgs(bowl, Eigen::VectorXd::Ones(2), {.max_iterations = 0}).sum(), 2);
}

TEST(LogisticRegression, CoefficientsAgreeWithScikitLearn) {
  for (const Json& item : cases()) {
    const LinearClassifier fit =
        fit_logistic_regression(matrix(item["train"]), item["labels"],
                                {.c = item["c"], .max_iterations = 100000, .tolerance = 1e-10});
    EXPECT_EQ(fit.classes, item["classes"].get<std::vector<int64_t>>());
    EXPECT_LT((fit.weight - matrix(item["weight"])).abs().max().item<double>(), 1e-6);
    EXPECT_LT((fit.bias - vector(item["bias"])).abs().max().item<double>(), 1e-6);
    EXPECT_EQ(fit.predict(matrix(item["test"])), item["predicted"].get<std::vector<int64_t>>());
  }
}

TEST(LogisticRegression, PredictionsOfTheDefaultsAgreeWithScikitLearn) {
  for (const Json& item : cases())
    EXPECT_EQ(logistic_regression(matrix(item["train"]).to(at::kFloat), item["labels"],
                                  matrix(item["test"]).to(at::kFloat), {.c = item["c"]}),
              item["predicted_by_default"].get<std::vector<int64_t>>());
}

TEST(LogisticRegression, RefusesWhatItCannotFit) {
  const at::Tensor rows = at::eye(3);
  const std::vector<int64_t> labels = {0, 1, 2};
  EXPECT_EQ(logistic_regression(rows, labels, rows), labels);
  EXPECT_TRUE(logistic_regression(rows, labels, at::zeros({0, 3})).empty());
  EXPECT_THROW(logistic_regression(rows, {1, 1, 1}, rows), std::invalid_argument);
  EXPECT_THROW(logistic_regression(rows, {0, 1}, rows), std::invalid_argument);
  EXPECT_THROW(logistic_regression(rows, labels, at::eye(4)), std::invalid_argument);
  EXPECT_THROW(logistic_regression(rows, labels, at::ones({3})), std::invalid_argument);
  EXPECT_THROW(logistic_regression(rows / 0, labels, rows), std::invalid_argument);
  EXPECT_THROW(logistic_regression(at::zeros({0, 3}), {}, rows), std::invalid_argument);
  EXPECT_THROW(logistic_regression(rows, labels, rows, {.c = 0}), std::invalid_argument);
}

// The sum of squared distances to the means of the clusters.
double inertia(const at::Tensor& points, const std::vector<int64_t>& clusters) {
  double sum = 0;
  const at::Tensor assigned = at::tensor(clusters, at::kLong);
  for (const int64_t cluster : std::set<int64_t>(clusters.begin(), clusters.end())) {
    const at::Tensor own = points.index({assigned == cluster}).to(at::kDouble);
    sum += (own - own.mean(0)).square().sum().item<double>();
  }
  return sum;
}

TEST(KMeans, FindsSeparateGroups) {
  const at::Tensor centres = random_normal(RandomKey(1), {6, 16}, 10.0);
  std::vector<int64_t> truth(300);
  for (size_t i = 0; i < truth.size(); ++i) truth[i] = static_cast<int64_t>(i * i % 6);
  const at::Tensor points = centres.index_select(0, at::tensor(truth, at::kLong)) +
                            random_normal(RandomKey(2), {300, 16}, 1.0) + 100;
  const std::set<int64_t> groups(truth.begin(), truth.end());
  const auto clusters = k_means(points, static_cast<int64_t>(groups.size()));
  EXPECT_NEAR(v_measure(truth, clusters), 1, 1e-12);
}

TEST(KMeans, FindsTheBestOfAllPartitionsOfAFewPoints) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const at::Tensor points = random_normal(RandomKey(seed).with("points"), {7, 2}, 1.0);
    double best = std::numeric_limits<double>::infinity();
    std::vector<int64_t> partition(7);
    for (int code = 0; code < 2187; ++code) {  // 3^7
      for (int i = 0, rest = code; i < 7; ++i, rest /= 3) partition[static_cast<size_t>(i)] = rest % 3;
      if (partition[0] != 0 || std::set<int64_t>(partition.begin(), partition.end()).size() != 3) continue;
      best = std::min(best, inertia(points, partition));
    }
    EXPECT_NEAR(inertia(points, k_means(points, 3, {.restarts = 30, .seed = seed})), best, 1e-5);
  }
}

TEST(KMeans, IsDeterministicAndEndsWhereEveryPointIsWithItsNearestMean) {
  const at::Tensor points = random_normal(RandomKey(3), {500, 8}, 1.0);
  const auto clusters = k_means(points, 10);
  EXPECT_EQ(k_means(points, 10), clusters);
  EXPECT_NE(k_means(points, 10, {.seed = 43}), clusters);
  std::vector<at::Tensor> means;
  const at::Tensor assigned = at::tensor(clusters, at::kLong);
  for (int64_t c = 0; c < 10; ++c) means.push_back(points.index({assigned == c}).mean(0));
  const at::Tensor distances = at::cdist(points, at::stack(means));
  const at::Tensor own = distances.gather(1, assigned.unsqueeze(1)).squeeze(1);
  EXPECT_LT((own - std::get<0>(distances.min(1))).max().item<float>(), 1e-5);
}

TEST(KMeans, UsesEveryClusterWhereThereAreEnoughPoints) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const at::Tensor points = random_normal(RandomKey(seed), {12, 2}, 1.0);
    for (const int64_t clusters : {1, 9, 11, 12}) {
      const auto found = k_means(points, clusters, {.restarts = 1, .seed = seed});
      EXPECT_EQ(static_cast<int64_t>(std::set<int64_t>(found.begin(), found.end()).size()), clusters);
    }
  }
}

TEST(KMeans, ServesFewerDifferentPointsThanClusters) {
  const at::Tensor points = at::tensor({1.f, 1.f, 1.f, 5.f, 5.f}).view({5, 1});
  const auto found = k_means(points, 4);
  EXPECT_NEAR(inertia(points, found), 0, 1e-12);
  EXPECT_NE(found[0], found[4]);
  EXPECT_EQ(k_means(at::zeros({3, 2}), 3).size(), 3u);
  EXPECT_THROW(k_means(points, 6), std::invalid_argument);
  EXPECT_THROW(k_means(points, 0), std::invalid_argument);
  EXPECT_THROW(k_means(points / 0 * 0, 2), std::invalid_argument);
  EXPECT_THROW(k_means(at::ones({3}), 2), std::invalid_argument);
  EXPECT_THROW(k_means(points, 2, {.restarts = 0}), std::invalid_argument);
}

}  // namespace
}  // namespace decovec
