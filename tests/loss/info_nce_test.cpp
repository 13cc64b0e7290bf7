#include "decovec/loss/info_nce.hpp"

#include <cstdlib>
#include <gtest/gtest.h>
#include <limits>
#include <nlohmann/json.hpp>

#include "decovec/world/random.hpp"

namespace decovec {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// A case of tests/data/loss/info_nce_reference.py.
struct Reference {
  std::string name;
  Relation relation;
  InfoNceOptions options;
  at::Tensor queries, documents, rows, query_gradient, document_gradient;
  double loss = 0;
};

at::Tensor matrix(const nlohmann::json& rows) {
  std::vector<at::Tensor> result;
  for (const auto& row : rows) result.push_back(at::tensor(row.get<std::vector<double>>(), at::kDouble));
  return at::stack(result);
}

std::vector<Reference> references() {
  const std::filesystem::path data = std::getenv("DECOVEC_TEST_DATA");
  std::ifstream file(data / "loss" / "info_nce.json");
  std::vector<Reference> result;
  for (const auto& json : nlohmann::json::parse(file)) {
    Reference& reference = result.emplace_back();
    reference.name = json.at("name");
    reference.relation = {.owner = json.at("owner"),
                          .positive = json.at("positive"),
                          .pool = json.at("pool"),
                          .text = json.at("text"),
                          .answers = json.at("answers")};
    reference.options.temperature = json.at("temperature");
    reference.queries = matrix(json.at("queries"));
    reference.documents = matrix(json.at("documents"));
    reference.rows = at::tensor(json.at("rows").get<std::vector<double>>(), at::kDouble);
    reference.query_gradient = matrix(json.at("query_gradient"));
    reference.document_gradient = matrix(json.at("document_gradient"));
    reference.loss = json.at("loss");
  }
  return result;
}

Reference reference(const std::string& name) {
  for (Reference& found : references()) {
    if (found.name == name) return found;
  }
  throw std::runtime_error("no reference case " + name);
}

// Differences count against the larger of 1 and the value.
void expect_close(const at::Tensor& value, const at::Tensor& expected, double tolerance) {
  ASSERT_EQ(value.sizes(), expected.sizes());
  const at::Tensor wanted = expected.to(at::kDouble);
  const double worst =
      ((value.to(at::kDouble) - wanted).abs() / wanted.abs().clamp_min(1.0)).max().item<double>();
  EXPECT_LE(worst, tolerance) << value << "\nexpected\n" << expected;
}

struct Result {
  double loss;
  at::Tensor query_gradient, document_gradient;
};

Result evaluate(const Reference& reference, at::ScalarType dtype) {
  const at::Tensor queries = reference.queries.to(dtype).detach().clone().requires_grad_();
  const at::Tensor documents = reference.documents.to(dtype).detach().clone().requires_grad_();
  const at::Tensor loss = info_nce({queries, documents}, reference.relation, reference.options);
  EXPECT_EQ(loss.dim(), 0);
  EXPECT_EQ(loss.scalar_type(), dtype == at::kDouble ? at::kDouble : at::kFloat);
  loss.backward();
  EXPECT_EQ(queries.grad().scalar_type(), dtype);
  return {loss.item<double>(), queries.grad(), documents.grad()};
}

TEST(InfoNce, EqualsThePlainStatement) {
  for (const Reference& reference : references()) {
    SCOPED_TRACE(reference.name);
    const Result exact = evaluate(reference, at::kDouble);
    EXPECT_NEAR(exact.loss, reference.loss, 1e-12);
    expect_close(exact.query_gradient, reference.query_gradient, 1e-12);
    expect_close(exact.document_gradient, reference.document_gradient, 1e-12);
    const Result single = evaluate(reference, at::kFloat);
    EXPECT_NEAR(single.loss, reference.loss, 1e-5);
    expect_close(single.query_gradient, reference.query_gradient, 1e-5);
    expect_close(single.document_gradient, reference.document_gradient, 1e-5);
  }
}

TEST(InfoNce, HalfPrecisionRowsAreComputedInFloat32) {
  Reference rounded = reference("mixed");
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    rounded.queries = rounded.queries.to(dtype).to(at::kDouble);
    rounded.documents = rounded.documents.to(dtype).to(at::kDouble);
    const Result exact = evaluate(rounded, at::kDouble);
    const Result half = evaluate(rounded, dtype);
    EXPECT_NEAR(half.loss, exact.loss, 1e-5);
    const double rounding = dtype == at::kHalf ? 0x1p-10 : 0x1p-7;  // of the gradient's own dtype
    expect_close(half.query_gradient, exact.query_gradient, rounding);
    expect_close(half.document_gradient, exact.document_gradient, rounding);
  }
}

TEST(InfoNce, GradientsAgreeWithFiniteDifferences) {
  const Reference mixed = reference("mixed");
  const Result result = evaluate(mixed, at::kDouble);
  const double step = 1e-6;
  for (const bool of_queries : {true, false}) {
    const at::Tensor gradient = of_queries ? result.query_gradient : result.document_gradient;
    at::Tensor queries = mixed.queries.clone(), documents = mixed.documents.clone();
    at::Tensor varied = (of_queries ? queries : documents).view(-1);
    double* values = varied.data_ptr<double>();
    for (int64_t i = 0; i < varied.numel(); ++i) {
      const double kept = values[i];
      values[i] = kept + step;
      const double above = info_nce({queries, documents}, mixed.relation, mixed.options).item<double>();
      values[i] = kept - step;
      const double below = info_nce({queries, documents}, mixed.relation, mixed.options).item<double>();
      values[i] = kept;
      EXPECT_NEAR(gradient.reshape(-1)[i].item<double>(), (above - below) / (2 * step), 1e-8) << i;
    }
  }
}

TEST(InfoNce, SharesOfRowRangesAddUp) {
  const Reference mixed = reference("mixed");
  const Result whole = evaluate(mixed, at::kDouble);
  for (const std::vector<int64_t>& cuts :
       {std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7}, {0, 3, 3, 7}, {0, 6, 7}}) {
    const at::Tensor queries = mixed.queries.clone().requires_grad_();
    const at::Tensor documents = mixed.documents.clone().requires_grad_();
    double sum = 0;
    for (size_t i = 1; i < cuts.size(); ++i) {
      const at::Tensor share = info_nce({queries.slice(0, cuts[i - 1], cuts[i]), documents, cuts[i - 1]},
                                        mixed.relation, mixed.options);
      const double expected =
          mixed.rows.slice(0, cuts[i - 1], cuts[i]).sum().item<double>() / mixed.relation.queries();
      EXPECT_NEAR(share.item<double>(), expected, 1e-12);
      share.backward();
      sum += share.item<double>();
    }
    EXPECT_NEAR(sum, whole.loss, 1e-12);
    expect_close(queries.grad(), whole.query_gradient, 1e-12);
    expect_close(documents.grad(), whole.document_gradient, 1e-12);
  }
}

TEST(InfoNce, ARowWithoutNegativesHasNoLossAndNoGradient) {
  Reference alone = reference("mixed");
  alone.relation.pool.assign(alone.relation.pool.size(), -1);
  alone.options.temperature = 1e-6;
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const Result result = evaluate(alone, dtype);
    EXPECT_TRUE(std::isfinite(result.loss));
    for (const int64_t row : {2, 4}) {  // those that drew no negatives
      EXPECT_EQ(result.query_gradient[row].abs().max().item<double>(), 0.0);
      const int64_t positive = alone.relation.positive[static_cast<size_t>(row)];
      EXPECT_EQ(result.document_gradient[positive].abs().max().item<double>(), 0.0);
      const at::Tensor share =
          info_nce({alone.queries.slice(0, row, row + 1).to(dtype), alone.documents.to(dtype), row},
                   alone.relation, alone.options);
      EXPECT_EQ(share.item<double>(), 0.0);
    }
  }
}

TEST(InfoNce, DoesNotDependOnTheRowsLengths) {
  const Reference mixed = reference("mixed");
  for (const double length : {1e-6, 1e6}) {
    const at::Tensor loss =
        info_nce({(mixed.queries * length).to(at::kFloat), (mixed.documents / length).to(at::kFloat)},
                 mixed.relation, mixed.options);
    EXPECT_NEAR(loss.item<double>(), mixed.loss, 1e-5);
  }
}

TEST(InfoNce, ZeroRowsHaveCosineZeroAndAFiniteGradient) {
  const Result result = evaluate(reference("zero rows"), at::kFloat);
  EXPECT_TRUE(std::isfinite(result.loss));
  EXPECT_TRUE(result.query_gradient.isfinite().all().item<bool>());
  EXPECT_TRUE(result.document_gradient.isfinite().all().item<bool>());
}

TEST(InfoNce, ANanStaysVisible) {
  Reference broken = reference("in batch");
  broken.documents[0][0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(std::isnan(info_nce({broken.queries, broken.documents}, broken.relation).item<double>()));
}

TEST(InfoNce, RefusesWrongInput) {
  const Reference mixed = reference("mixed");
  const at::Tensor &queries = mixed.queries, &documents = mixed.documents;
  const auto rejects = [&](const Embeddings& embeddings, const InfoNceOptions& options = {}) {
    EXPECT_THROW(info_nce(embeddings, mixed.relation, options), std::invalid_argument);
  };
  rejects({queries, documents.slice(0, 1)});
  rejects({queries, documents.slice(1, 1)});
  rejects({queries, documents, 1});
  rejects({queries, documents, -1});
  rejects({queries.slice(0, 0, 2), documents, std::numeric_limits<int64_t>::max()});
  rejects({queries[0], documents});
  rejects({at::Tensor(), documents});
  rejects({queries.to(at::kLong), documents});
  for (const double temperature : {0.0, -0.05, 1e-7, infinity, -infinity, std::nan("")}) {
    rejects({queries, documents}, {.temperature = temperature});
  }
  Relation empty;
  EXPECT_THROW(info_nce({queries.slice(0, 0, 0), documents.slice(0, 0, 0)}, empty), std::invalid_argument);
  Relation wrong = mixed.relation;
  wrong.positive[0] = 100;
  EXPECT_THROW(info_nce({queries, documents}, wrong), std::invalid_argument);
}

}  // namespace
}  // namespace decovec
