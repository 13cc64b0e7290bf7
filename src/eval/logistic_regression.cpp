#include "eval/logistic_regression.hpp"

#include <algorithm>

#include <ATen/ATen.h>

#include "eval/lbfgs.hpp"
#include "io/error.hpp"

namespace decovec {
namespace {

using Eigen::VectorXd;

at::Tensor doubles(const at::Tensor& rows) { return rows.detach().to(at::kCPU, at::kDouble).contiguous(); }

// A view of [classes, D + 1] parameters: the weights, then the bias as the last column.
at::Tensor as_matrix(const VectorXd& parameters, int64_t rows) {
  return at::from_blob(const_cast<double*>(parameters.data()), {rows, parameters.size() / rows}, at::kDouble);
}

// One column of scores stands for two classes: the first one's score is 0.
at::Tensor all_scores(const at::Tensor& scores) {
  return scores.size(1) == 1 ? at::cat({at::zeros_like(scores), scores}, 1) : scores;
}

// Mean cross-entropy with its penalty; parameters [outputs, D + 1].
class CrossEntropy {
 public:
  CrossEntropy(at::Tensor rows, at::Tensor targets, int64_t outputs, double c)
      : rows_(std::move(rows)),
        targets_(std::move(targets)),
        outputs_(outputs),
        count_(static_cast<double>(rows_.size(0))),
        penalty_(1 / (c * count_)) {}

  double operator()(const VectorXd& parameters, VectorXd& gradient) const {
    const int64_t width = rows_.size(1);
    const at::Tensor matrix = as_matrix(parameters, outputs_);
    const at::Tensor weight = matrix.narrow(1, 0, width), bias = matrix.select(1, width);
    at::Tensor scores = all_scores(at::addmm(bias, rows_, weight.t()));
    scores = at::log_softmax(scores, 1);
    const double loss = -scores.gather(1, targets_).sum().item<double>() / count_;
    // softmax - one-hot; the first class of two has no parameters
    at::Tensor errors = scores.exp_().scatter_add_(1, targets_, at::full_like(targets_, -1, at::kDouble));
    if (outputs_ == 1) errors = errors.narrow(1, 1, 1);
    gradient.resize(parameters.size());
    at::Tensor slopes = as_matrix(gradient, outputs_);
    slopes.narrow(1, 0, width).copy_(at::mm(errors.t(), rows_) / count_ + penalty_ * weight);
    slopes.select(1, width).copy_(errors.sum(0) / count_);
    return loss + 0.5 * penalty_ * weight.square().sum().item<double>();
  }

 private:
  at::Tensor rows_, targets_;
  int64_t outputs_;
  double count_, penalty_;
};

}  // namespace

LinearClassifier fit_logistic_regression(const at::Tensor& train, const std::vector<int64_t>& labels,
                                         const LogisticRegressionOptions& options) {
  LinearClassifier result;
  result.classes = labels;
  std::sort(result.classes.begin(), result.classes.end());
  result.classes.erase(std::unique(result.classes.begin(), result.classes.end()), result.classes.end());
  const auto classes = static_cast<int64_t>(result.classes.size());
  if (classes < 2) reject("logistic_regression: labels: expected two classes or more, got {}", classes);

  at::Tensor targets = at::empty({train.size(0), 1}, at::kLong);
  for (size_t i = 0; i < labels.size(); ++i)
    targets.data_ptr<int64_t>()[i] =
        std::lower_bound(result.classes.begin(), result.classes.end(), labels[i]) - result.classes.begin();
  const int64_t outputs = classes == 2 ? 1 : classes, width = train.size(1);
  const CrossEntropy objective(doubles(train), targets, outputs, options.c);
  const VectorXd parameters =
      minimise_lbfgs(std::cref(objective), VectorXd::Zero(outputs * (width + 1)),
                     {.max_iterations = options.max_iterations, .tolerance = options.tolerance});
  const at::Tensor matrix = as_matrix(parameters, outputs);
  result.weight = matrix.narrow(1, 0, width).clone();
  result.bias = matrix.select(1, width).clone();
  return result;
}

std::vector<int64_t> LinearClassifier::predict(const at::Tensor& rows) const {
  const at::Tensor best = all_scores(at::addmm(bias, doubles(rows), weight.t())).argmax(1);
  std::vector<int64_t> labels(static_cast<size_t>(rows.size(0)));
  for (size_t i = 0; i < labels.size(); ++i)
    labels[i] = classes[static_cast<size_t>(best.const_data_ptr<int64_t>()[i])];
  return labels;
}

std::vector<int64_t> logistic_regression(const at::Tensor& train, const std::vector<int64_t>& labels,
                                         const at::Tensor& test, const LogisticRegressionOptions& options) {
  const auto check = [](const char* name, const at::Tensor& matrix) {
    if (!matrix.defined() || matrix.dim() != 2)
      reject("logistic_regression: {}: expected a matrix of vectors", name);
    if (!matrix.isfinite().all().item<bool>())
      reject("logistic_regression: {}: a vector holds a value that is not finite", name);
  };
  return at_boundary("logistic_regression", [&] {
    check("train", train);
    check("test", test);
    if (train.size(1) != test.size(1))
      reject("logistic_regression: expected train and test of one width, got {} and {}", train.size(1),
             test.size(1));
    if (train.size(0) != static_cast<int64_t>(labels.size()))
      reject("logistic_regression: labels: expected {}, one a row of train, got {}", train.size(0),
             labels.size());
    if (!(options.c > 0)) reject("logistic_regression: c: expected a number above 0, got {}", options.c);
    return fit_logistic_regression(train, labels, options).predict(test);
  });
}

}  // namespace decovec
