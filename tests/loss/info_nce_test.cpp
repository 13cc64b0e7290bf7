#include "decovec/loss/info_nce.hpp"

#include <gtest/gtest.h>
#include <limits>

#include "loss/reference.hpp"

namespace decovec {
namespace {

using test::evaluate;
using test::Evaluated;
using test::expect_close;
using test::matrix;

// A case of tests/data/loss/info_nce_reference.py.
struct Reference {
  std::string name;
  RelationFacts facts;
  InfoNceOptions options;
  at::Tensor queries, documents, rows, query_gradient, document_gradient;
  double loss = 0;

  Loss function() const {
    return [options = options](const Embeddings& embeddings, const Relation& relation, FilterCounts*) {
      return info_nce(embeddings, relation, options);
    };
  }
};

std::vector<Reference> references() {
  std::vector<Reference> result;
  for (const auto& json : test::read_json("info_nce.json")) {
    Reference& reference = result.emplace_back();
    reference.name = json.at("name");
    reference.facts = {.owner = json.at("owner"),
                       .role = std::vector<Role>(json.at("owner").size(), Role::negative),
                       .pool = json.at("pool"),
                       .text = json.at("text"),
                       .answers = json.at("answers")};
    for (const size_t positive : json.at("positive")) reference.facts.role[positive] = Role::positive;
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

Evaluated evaluate(const Reference& reference, at::ScalarType dtype) {
  const Evaluated result = evaluate(reference.function(), {reference.queries, reference.documents},
                                    Relation(reference.facts), dtype);
  EXPECT_EQ(result.query_gradient.scalar_type(), dtype);
  return result;
}

TEST(InfoNce, EqualsThePlainStatement) {
  for (const Reference& reference : references()) {
    SCOPED_TRACE(reference.name);
    const Evaluated exact = evaluate(reference, at::kDouble);
    EXPECT_NEAR(exact.value, reference.loss, 1e-12);
    expect_close(exact.query_gradient, reference.query_gradient, 1e-12);
    expect_close(exact.document_gradient, reference.document_gradient, 1e-12);
    const Evaluated single = evaluate(reference, at::kFloat);
    EXPECT_NEAR(single.value, reference.loss, 1e-5);
    expect_close(single.query_gradient, reference.query_gradient, 1e-5);
    expect_close(single.document_gradient, reference.document_gradient, 1e-5);
  }
}

TEST(InfoNce, HalfPrecisionRowsAreComputedInFloat32) {
  Reference rounded = reference("mixed");
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    rounded.queries = rounded.queries.to(dtype).to(at::kDouble);
    rounded.documents = rounded.documents.to(dtype).to(at::kDouble);
    const Evaluated exact = evaluate(rounded, at::kDouble);
    const Evaluated half = evaluate(rounded, dtype);
    EXPECT_NEAR(half.value, exact.value, 1e-5);
    const double rounding = dtype == at::kHalf ? 0x1p-10 : 0x1p-7;  // of the gradient's own dtype
    expect_close(half.query_gradient, exact.query_gradient, rounding);
    expect_close(half.document_gradient, exact.document_gradient, rounding);
  }
}

TEST(InfoNce, ARangesShareIsThatOfItsRows) {
  const Reference mixed = reference("mixed");
  const Relation relation(mixed.facts);
  for (int64_t begin = 0; begin <= 7; ++begin) {
    for (int64_t end = begin; end <= 7; ++end) {
      const at::Tensor share =
          info_nce({mixed.queries, mixed.documents, begin, end}, relation, mixed.options);
      EXPECT_NEAR(share.item<double>(), mixed.rows.slice(0, begin, end).sum().item<double>() / 7, 1e-12);
    }
  }
}

TEST(InfoNce, ARowWithoutNegativesHasNoLossAndNoGradient) {
  Reference alone = reference("mixed");
  alone.facts.pool.assign(alone.facts.pool.size(), -1);
  alone.options.temperature = 1e-6;
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
    const Evaluated result = evaluate(alone, dtype);
    EXPECT_TRUE(std::isfinite(result.value));
    for (const int64_t row : {2, 4}) {  // those that drew no negatives
      EXPECT_EQ(result.query_gradient[row].abs().max().item<double>(), 0.0);
      const Relation relation(alone.facts);
      EXPECT_EQ(result.document_gradient[relation.documents_of(row)[0]].abs().max().item<double>(), 0.0);
      const at::Tensor share = info_nce({alone.queries.to(dtype), alone.documents.to(dtype), row, row + 1},
                                        relation, alone.options);
      EXPECT_EQ(share.item<double>(), 0.0);
    }
  }
}

TEST(InfoNce, DoesNotDependOnTheRowsLengths) {
  const Reference mixed = reference("mixed");
  for (const double length : {1e-6, 1e6}) {
    const at::Tensor loss =
        info_nce({(mixed.queries * length).to(at::kFloat), (mixed.documents / length).to(at::kFloat)},
                 Relation(mixed.facts), mixed.options);
    EXPECT_NEAR(loss.item<double>(), mixed.loss, 1e-5);
  }
}

TEST(InfoNce, ZeroRowsHaveCosineZeroAndAFiniteGradient) {
  const Evaluated result = evaluate(reference("zero rows"), at::kFloat);
  EXPECT_TRUE(std::isfinite(result.value));
  EXPECT_TRUE(result.query_gradient.isfinite().all().item<bool>());
  EXPECT_TRUE(result.document_gradient.isfinite().all().item<bool>());
}

TEST(InfoNce, ANanStaysVisible) {
  Reference broken = reference("in batch");
  broken.documents[0][0] = std::numeric_limits<double>::quiet_NaN();
  EXPECT_TRUE(
      std::isnan(info_nce({broken.queries, broken.documents}, Relation(broken.facts)).item<double>()));
}

TEST(InfoNce, WantsAPositiveForEachQueryOfTheRange) {
  Reference mixed = reference("mixed");
  mixed.facts.role[0] = Role::scored;
  const Relation relation(mixed.facts);
  EXPECT_THROW(info_nce({mixed.queries, mixed.documents}, relation), std::invalid_argument);
  EXPECT_NO_THROW(info_nce({mixed.queries, mixed.documents, 1, 7}, relation));
}

TEST(InfoNce, ALoneQueryHasNothingInAnyDirectionButItsOwn) {
  const at::Tensor query = at::tensor({1.0, 2.0}, at::kDouble).view({1, 2});
  const Relation relation(
      {.owner = {0}, .role = {Role::positive}, .pool = {0}, .text = {1}, .answers = {{}}});
  const Embeddings embeddings = {query, query.flip(1)};
  EXPECT_EQ(info_nce(embeddings, relation).item<double>(), 0);
  const std::vector<Direction> every = {Direction::query_to_document, Direction::query_to_query,
                                        Direction::document_to_query, Direction::document_to_document};
  // The right match stands in the softmax twice, as in GTE's formula.
  EXPECT_NEAR(info_nce(embeddings, relation, {.directions = every}).item<double>(), std::log(2.0), 1e-15);
}

}  // namespace
}  // namespace decovec
