#include "eval/held_out.hpp"

#include <cmath>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

namespace decovec {
namespace {

/// Vectors on the unit circle, by their angles in degrees.
at::Tensor at_angles(std::vector<double> degrees) {
  std::vector<float> values;
  for (const double angle : degrees) {
    values.push_back(static_cast<float>(3 * std::cos(angle * M_PI / 180)));
    values.push_back(static_cast<float>(3 * std::sin(angle * M_PI / 180)));
  }
  return at::tensor(values).view({static_cast<int64_t>(degrees.size()), 2});
}

double figure(const TaskReport& report, const std::string& metric) {
  for (const auto& [name, value] : report.metrics)
    if (name == metric) return value;
  ADD_FAILURE() << metric;
  return 0;
}

// Query 0 at 0 degrees: its positive at 20, its hard negatives at 10 and 90. Query 1 at 180: positive at 150,
// hard negative at 120. Document 4 of query 1 has the text of query 0's positive.
RelationFacts facts() {
  return {.owner = {0, 0, 0, 1, 1},
          .role = {Role::positive, Role::negative, Role::negative, Role::positive, Role::negative},
          .pool = {0, 0},
          .text = {1, 2, 3, 4, 5},
          .answers = {{}, {}}};
}

TEST(HeldOut, CountsRightAnswersAndNegativesThatComeNear) {
  const at::Tensor queries = at_angles({0, 180}), documents = at_angles({20, 10, 90, 150, 120});
  const TaskReport report = measure("set", Relation(facts()), queries, documents);
  EXPECT_EQ(report.task, "set");
  EXPECT_EQ(report.kind, "held_out");
  const auto cosine = [](double degrees) { return std::cos(degrees * M_PI / 180); };
  EXPECT_DOUBLE_EQ(figure(report, "accuracy"), 0.5);  // query 0's negative at 10 is nearer
  EXPECT_DOUBLE_EQ(figure(report, "negatives_above"), 1.0 / 3);
  EXPECT_NEAR(figure(report, "margin"),
              ((cosine(20) - cosine(10)) + (cosine(20) - cosine(90)) + (cosine(30) - cosine(60))) / 3, 1e-6);
}

TEST(HeldOut, InBatchNegativesCountForAccuracyAndStandInForHardOnes) {
  RelationFacts two = {.owner = {0, 1},
                       .role = {Role::positive, Role::positive},
                       .pool = {0, 0},
                       .text = {1, 2},
                       .answers = {{}, {}}};
  const at::Tensor queries = at_angles({0, 90}), documents = at_angles({80, 60});
  const TaskReport report = measure("set", Relation(two), queries, documents);
  EXPECT_DOUBLE_EQ(figure(report, "accuracy"), 0);
  EXPECT_DOUBLE_EQ(figure(report, "negatives_above"), 1);
  EXPECT_LT(figure(report, "margin"), 0);
  two.pool = {-1, -1};  // on their own, with nothing against them
  const TaskReport alone = measure("set", Relation(two), queries, documents);
  EXPECT_DOUBLE_EQ(figure(alone, "accuracy"), 1);
  EXPECT_TRUE(std::isnan(figure(alone, "negatives_above")));
  two.pool = {0, 0};
  two.text = {7, 7};  // each the other's answer too
  two.answers = {{7}, {7}};
  EXPECT_DOUBLE_EQ(figure(measure("set", Relation(two), queries, documents), "accuracy"), 1);
}

TEST(HeldOut, VectorsThatAreAllTheSameAreNeverRight) {
  const TaskReport report =
      measure("set", Relation(facts()), at_angles({45, 45}), at_angles({45, 45, 45, 45, 45}));
  EXPECT_DOUBLE_EQ(figure(report, "accuracy"), 0);
  EXPECT_DOUBLE_EQ(figure(report, "negatives_above"), 1);
  EXPECT_DOUBLE_EQ(figure(report, "margin"), 0);
}

TEST(HeldOut, ScoredDocumentsGiveACorrelationFirst) {
  RelationFacts scored = facts();
  scored.score = {0.9, 1.0, 0.0, 0.8, 0.5};  // in the order of the cosines
  const at::Tensor queries = at_angles({0, 180}), documents = at_angles({20, 10, 90, 150, 120});
  const TaskReport report = measure("set", Relation(scored), queries, documents);
  EXPECT_EQ(report.metrics[0].first, "spearman");
  EXPECT_DOUBLE_EQ(report.metrics[0].second, 1);
  scored.score = {0.0, 0.1, 0.9, 0.2, 0.5};  // ranks 1 2 5 3 4 against 4 5 1 3 2: 1 - 6 * 38 / 120
  EXPECT_DOUBLE_EQ(measure("set", Relation(scored), queries, documents).metrics[0].second,
                   1 - 6 * 38 / 120.0);
  scored.score[2] = std::nan("");
  EXPECT_EQ(measure("set", Relation(scored), queries, documents).metrics[0].first, "accuracy");
}

TEST(HeldOut, RefusesVectorsThatDoNotFit) {
  EXPECT_THROW(measure("set", Relation(facts()), at_angles({0}), at_angles({20, 10, 90, 150, 120})),
               std::invalid_argument);
  RelationFacts none = facts();
  none.role[3] = Role::negative;
  EXPECT_THROW(measure("set", Relation(none), at_angles({0, 1}), at_angles({20, 10, 90, 150, 120})),
               std::invalid_argument);
}

}  // namespace
}  // namespace decovec
