// Every loss against its reference, and against what all losses promise.
#include <cmath>
#include <gtest/gtest.h>
#include <limits>
#include <map>

#include "decovec/loss/batch_loss.hpp"
#include "decovec/loss/cosent.hpp"
#include "decovec/loss/info_nce.hpp"
#include "decovec/loss/matryoshka.hpp"
#include "decovec/loss/scored.hpp"
#include "decovec/loss/triplet.hpp"
#include "loss/reference.hpp"

namespace decovec {
namespace {

using test::evaluate;
using test::Evaluated;
using test::expect_close;
using test::loss_case;
using test::LossCase;
using enum Direction;

Loss info_nce_with(const InfoNceOptions& options) {
  return [options](const Embeddings& embeddings, const Relation& relation, FilterCounts* counts) {
    return info_nce(embeddings, relation, options, counts);
  };
}

// What a loss with options of its own makes a Loss of.
template <class Options>
Loss with(at::Tensor (*loss)(const Embeddings&, const Relation&, const Options&),
          const std::type_identity_t<Options>& options) {
  return [=](const Embeddings& embeddings, const Relation& relation, FilterCounts*) {
    return loss(embeddings, relation, options);
  };
}

Loss matryoshka_of(const Loss& loss, const MatryoshkaOptions& options) {
  return [=](const Embeddings& embeddings, const Relation& relation, FilterCounts* counts) {
    return matryoshka(loss, embeddings, relation, options, counts);
  };
}

const std::vector<Direction> every = {query_to_document, query_to_query, document_to_query,
                                      document_to_document};
const std::vector<Direction> both_ways = {query_to_document, document_to_query};
const std::vector<Direction> gist = {query_to_document, query_to_query, document_to_positive};
const std::vector<Direction> qwen3 = {query_to_document, query_to_query, document_to_document};

// How decovec says each case of losses_reference.py.
const std::map<std::string, Loss>& losses() {
  static const std::map<std::string, Loss> result = {
      {"mnrl", info_nce_with({})},
      {"mnrl pairs", info_nce_with({.temperature = 0.02})},
      {"mnrl symmetric", info_nce_with({.directions = both_ways, .joint = false})},
      {"mnrl both ways joint", info_nce_with({.directions = both_ways})},
      {"mnrl queries", info_nce_with({.directions = {query_to_document, query_to_query}})},
      {"mnrl gte", info_nce_with({.directions = every})},
      {"mnrl gte pairs", info_nce_with({.temperature = 0.1, .directions = every})},
      {"mnrl hardness in_batch_negatives", info_nce_with({.in_batch_hardness = 9})},
      {"mnrl hardness hard_negatives", info_nce_with({.hard_negative_hardness = 5})},
      {"mnrl hardness all_negatives", info_nce_with({.in_batch_hardness = 9, .hard_negative_hardness = 9})},
      {"cached mnrl", info_nce_with({.temperature = 1.0 / 30, .directions = every})},
      {"gist", info_nce_with({.temperature = 0.01, .directions = gist, .guide_filter = ScoreFilter{}})},
      {"gist absolute",
       info_nce_with({.temperature = 0.1, .directions = gist, .guide_filter = ScoreFilter{.margin = 0.1}})},
      {"gist relative",
       info_nce_with(
           {.temperature = 0.05, .directions = gist, .guide_filter = ScoreFilter{0.2, /*relative=*/true}})},
      {"gist documents only",
       info_nce_with({.temperature = 0.2, .guide_filter = ScoreFilter{0.05, /*relative=*/true}})},
      {"cosent", with(cosent, {})},
      {"angle", with(cosent, {.similarity = Similarity::angle})},
      {"angle of odd width", with(cosent, {.scale = 5, .similarity = Similarity::angle})},
      {"cosine similarity", [](const Embeddings& embeddings, const Relation& relation,
                               FilterCounts*) { return cosine_mse(embeddings, relation); }},
      {"triplet euclidean", with(triplet, {})},
      {"triplet cosine", with(triplet, {.margin = 0.3, .similarity = Similarity::cosine})},
      {"triplet manhattan", with(triplet, {.margin = 0.5, .similarity = Similarity::manhattan})},
      {"margin mse", with(margin_mse, {})},
      {"margin mse of many", with(margin_mse, {.similarity = Similarity::cosine})},
      {"kl", with(kl_divergence, {})},
      {"kl temperature", with(kl_divergence, {.temperature = 2, .similarity = Similarity::cosine})},
      {"kl temperatures", with(kl_divergence, {.temperature = 0.5, .teacher_temperature = 3.0})},
      {"matryoshka mnrl",
       matryoshka_of(info_nce_with({}), {.dimensions = {2, 6, 4}, .weights = {0.25, 1, 0.5}})},
      {"matryoshka margin mse", matryoshka_of(with(margin_mse, {}), {.dimensions = {5, 2}})},
      {"gecko", info_nce_with({.directions = {query_to_positive, query_to_query}})},
      {"gemini", info_nce_with({.directions = {query_to_positive}})},
      {"qwen3",
       info_nce_with({.temperature = 0.1, .directions = qwen3, .filter = ScoreFilter{.margin = -0.1}})},
      {"hard negatives", info_nce_with({.temperature = 0.02})},
      {"percentage of the positive", info_nce_with({.filter = ScoreFilter{0.05, /*relative=*/true}})},
      {"several positives", info_nce_with({.temperature = 0.1})},
  };
  return result;
}

class Losses : public testing::TestWithParam<std::string> {
 protected:
  const LossCase case_ = loss_case(GetParam());
  const Loss loss_ = losses().at(GetParam());
  const Relation relation_ = Relation(case_.facts);
  const Embeddings embeddings_ = {case_.queries,       case_.documents,      0, -1,
                                  case_.guide_queries, case_.guide_documents};
};

std::vector<std::string> names() {
  std::vector<std::string> result;
  for (const auto& [name, loss] : losses()) result.push_back(name);
  return result;
}

INSTANTIATE_TEST_SUITE_P(All, Losses, testing::ValuesIn(names()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

TEST_P(Losses, EqualTheirReferenceInValueAndGradient) {
  const Evaluated exact = evaluate(loss_, embeddings_, relation_);
  EXPECT_NEAR(exact.value, case_.value, 1e-12 * std::max(1.0, case_.value));
  expect_close(exact.query_gradient, case_.query_gradient, 1e-11);
  expect_close(exact.document_gradient, case_.document_gradient, 1e-11);
  const Evaluated single = evaluate(loss_, embeddings_, relation_, at::kFloat);
  EXPECT_NEAR(single.value, case_.value, 1e-5 * std::max(1.0, case_.value));
  expect_close(single.query_gradient, case_.query_gradient, 1e-4);
  expect_close(single.document_gradient, case_.document_gradient, 1e-4);
}

TEST_P(Losses, HaveTheSlopesOfFiniteDifferences) {
  // Its weights have no gradient, by design; the reference's gradients are the test.
  if (GetParam().find("hardness") != std::string::npos) return;
  const Evaluated result = evaluate(loss_, embeddings_, relation_);
  const double step = 1e-6;
  for (const bool of_queries : {true, false}) {
    Embeddings varied = embeddings_;
    varied.queries = embeddings_.queries.clone();
    varied.documents = embeddings_.documents.clone();
    const at::Tensor& gradient = of_queries ? result.query_gradient : result.document_gradient;
    auto* values = (of_queries ? varied.queries : varied.documents).data_ptr<double>();
    for (int64_t i = 0; i < gradient.numel(); ++i) {
      const double kept = values[i];
      values[i] = kept + step;
      const double above = loss_(varied, relation_, nullptr).item<double>();
      values[i] = kept - step;
      const double below = loss_(varied, relation_, nullptr).item<double>();
      values[i] = kept;
      const double slope = (above - below) / (2 * step);
      EXPECT_NEAR(gradient.reshape(-1)[i].item<double>(), slope, 1e-7 * std::max(1.0, std::abs(slope))) << i;
    }
  }
}

TEST_P(Losses, AreTheSumOfTheSharesOfAnyRanges) {
  const Evaluated whole = evaluate(loss_, embeddings_, relation_);
  const int64_t count = relation_.queries();
  for (const std::vector<int64_t>& cuts :
       {std::vector<int64_t>{0, 1, 2, 3, count}, {0, 0, 3, 3, count, count}, {0, count - 1, count}}) {
    const Evaluated parts = evaluate(loss_, embeddings_, relation_, at::kDouble, cuts);
    EXPECT_NEAR(parts.value, whole.value, 1e-12 * std::max(1.0, whole.value));
    expect_close(parts.query_gradient, whole.query_gradient, 1e-12);
    expect_close(parts.document_gradient, whole.document_gradient, 1e-12);
  }
}

TEST_P(Losses, TakeUnitRowsThatWereMadeOnce) {
  const Loss from_unit = [&](const Embeddings& embeddings, const Relation& relation, FilterCounts* counts) {
    const auto unit = [](const at::Tensor& rows) {
      return rows / at::linalg_vector_norm(rows, 2, at::IntArrayRef{1}, /*keepdim=*/true);
    };
    Embeddings given = embeddings;
    given.unit_queries = unit(embeddings.queries);
    given.unit_documents = unit(embeddings.documents);
    return loss_(given, relation, counts);
  };
  const Evaluated result =
      evaluate(from_unit, embeddings_, relation_, at::kDouble, {0, 2, relation_.queries()});
  EXPECT_NEAR(result.value, case_.value, 1e-12 * std::max(1.0, case_.value));
  expect_close(result.query_gradient, case_.query_gradient, 1e-11);
  expect_close(result.document_gradient, case_.document_gradient, 1e-11);
}

TEST_P(Losses, ComputeHalfPrecisionInFloat32) {
  Embeddings rounded = embeddings_;
  rounded.queries = embeddings_.queries.to(at::kBFloat16);
  rounded.documents = embeddings_.documents.to(at::kBFloat16);
  const double exact = loss_({rounded.queries.to(at::kDouble), rounded.documents.to(at::kDouble), 0, -1,
                              rounded.guide_queries, rounded.guide_documents},
                             relation_, nullptr)
                           .item<double>();
  EXPECT_NEAR(loss_(rounded, relation_, nullptr).item<double>(), exact, 1e-5 * std::max(1.0, exact));
}

TEST_P(Losses, StayFiniteForZeroAndEqualRows) {
  for (const bool equal : {false, true}) {
    Embeddings odd = embeddings_;
    odd.queries = embeddings_.queries.clone();
    odd.documents = embeddings_.documents.clone();
    odd.queries[1].zero_();
    odd.documents[2].zero_();
    if (equal) odd.documents.copy_(odd.documents[0].clone()), odd.queries.copy_(odd.documents[0].clone());
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const Evaluated result = evaluate(loss_, odd, relation_, dtype);
      EXPECT_TRUE(std::isfinite(result.value));
      EXPECT_TRUE(result.query_gradient.isfinite().all().item<bool>()) << result.query_gradient;
      EXPECT_TRUE(result.document_gradient.isfinite().all().item<bool>()) << result.document_gradient;
    }
  }
}

TEST_P(Losses, LetANanBeSeen) {
  for (const bool of_queries : {true, false}) {
    Embeddings broken = embeddings_;
    broken.queries = embeddings_.queries.clone();
    broken.documents = embeddings_.documents.clone();
    (of_queries ? broken.queries : broken.documents)[0][0] = std::numeric_limits<double>::quiet_NaN();
    EXPECT_TRUE(std::isnan(loss_(broken, relation_, nullptr).item<double>()));
  }
}

TEST_P(Losses, TakeASingleQuery) {
  RelationFacts facts{.pool = {0}, .answers = {{}}};
  const int64_t own = case_.documents.size(0) / case_.queries.size(0);
  for (size_t d = 0; d < static_cast<size_t>(own); ++d) {
    facts.owner.push_back(0);
    facts.role.push_back(case_.facts.role[d]);
    facts.text.push_back(d);
    if (!case_.facts.score.empty()) facts.score.push_back(case_.facts.score[d]);
  }
  Embeddings one = {case_.queries.slice(0, 0, 1), case_.documents.slice(0, 0, own)};
  if (case_.guide_queries.defined()) {
    one.guide_queries = case_.guide_queries.slice(0, 0, 1);
    one.guide_documents = case_.guide_documents.slice(0, 0, own);
  }
  const Evaluated result = evaluate(loss_, one, Relation(facts));
  EXPECT_TRUE(std::isfinite(result.value));
  EXPECT_TRUE(result.document_gradient.isfinite().all().item<bool>());
}

TEST_P(Losses, RefuseWhatDoesNotFitTheRelation) {
  const at::Tensor &queries = embeddings_.queries, &documents = embeddings_.documents;
  const auto rejects = [&](const at::Tensor& q, const at::Tensor& d, int64_t begin = 0, int64_t end = -1) {
    const Embeddings wrong = {q, d, begin, end, embeddings_.guide_queries, embeddings_.guide_documents};
    EXPECT_THROW(loss_(wrong, relation_, nullptr), std::invalid_argument);
  };
  rejects(queries, documents.slice(0, 1));
  rejects(queries.slice(0, 1), documents);
  rejects(queries, documents.slice(1, 1));
  rejects(queries, documents, -1);
  rejects(queries, documents, 0, relation_.queries() + 1);
  rejects(queries, documents, 2, 1);
  rejects(queries, documents, std::numeric_limits<int64_t>::max());
  rejects(queries[0], documents);
  rejects(at::Tensor(), documents);
  rejects(queries, at::Tensor());
  rejects(queries.to(at::kLong), documents);
  EXPECT_THROW(loss_({queries.slice(0, 0, 0), documents.slice(0, 0, 0)}, Relation(), nullptr),
               std::invalid_argument);
}

TEST(Filters, CountWhatTheyLeaveOut) {
  const auto counts_of = [](const std::string& name) {
    const LossCase found = loss_case(name);
    FilterCounts counts;
    const Relation relation(found.facts);
    const Embeddings all = {found.queries,       found.documents,      0, -1,
                            found.guide_queries, found.guide_documents};
    for (int64_t row = 0; row < relation.queries(); ++row) {
      Embeddings one = all;
      one.begin = row;
      one.end = row + 1;
      losses().at(name)(one, relation, &counts);
    }
    FilterCounts whole;
    losses().at(name)(all, relation, &whole);
    EXPECT_EQ(whole.by_score, counts.by_score);
    EXPECT_EQ(whole.by_guide, counts.by_guide);
    return counts;
  };
  for (const std::string name : {"percentage of the positive", "qwen3"}) {
    EXPECT_GT(loss_case(name).left_out, 0) << name;
    EXPECT_EQ(counts_of(name).by_score, loss_case(name).left_out) << name;
    EXPECT_EQ(counts_of(name).by_guide, 0);
  }
  EXPECT_GT(counts_of("gist").by_guide, 0);
  EXPECT_EQ(counts_of("gist").by_score, 0);
  EXPECT_EQ(counts_of("mnrl").by_score, 0);
}

TEST(Triplet, AndMarginMseAddNothingForQueriesWithoutHardNegatives) {
  LossCase found = loss_case("margin mse");
  const Relation all(found.facts);
  for (const std::string name : {"margin mse", "triplet euclidean"}) {
    RelationFacts facts = found.facts;
    facts.role[3] = Role::positive;  // query 1's only negative
    const Loss& loss = losses().at(name);
    const auto share = [&](const Relation& relation, int64_t row) {
      return loss({found.queries, found.documents, row, row + 1}, relation, nullptr).item<double>();
    };
    EXPECT_GT(share(all, 1), 0);
    EXPECT_EQ(share(Relation(facts), 1), 0);
    EXPECT_EQ(share(Relation(facts), 2), share(all, 2));
  }
}

TEST(Cosent, IsWholeForTheRangeOfRowZero) {
  const LossCase found = loss_case("cosent");
  const Relation relation(found.facts);
  EXPECT_EQ(cosent({found.queries, found.documents, 1, 7}, relation).item<double>(), 0);
  EXPECT_NEAR(cosent({found.queries, found.documents, 0, 1}, relation).item<double>(), found.value, 1e-12);
  RelationFacts equal = found.facts;
  equal.score.assign(equal.score.size(), 0.5);
  EXPECT_EQ(cosent({found.queries, found.documents}, Relation(equal)).item<double>(), 0);
}

TEST(Scored, RefuseDocumentsWithoutAScore) {
  for (const std::string name : {"cosent", "cosine similarity", "margin mse", "kl"}) {
    const LossCase found = loss_case(name);
    for (const bool some : {true, false}) {
      RelationFacts facts = found.facts;
      if (some)
        facts.score[1] = std::nan("");
      else
        facts.score.clear();
      EXPECT_THROW(losses().at(name)({found.queries, found.documents}, Relation(facts), nullptr),
                   std::invalid_argument)
          << name;
    }
  }
}

TEST(Options, OutOfRangeAreRefused) {
  const double infinity = std::numeric_limits<double>::infinity(), nan = std::nan("");
  const LossCase found = loss_case("kl");
  const Relation relation(found.facts);
  const Embeddings embeddings = {found.queries, found.documents};
  const auto rejects = [&](const Loss& loss) {
    EXPECT_THROW(loss(embeddings, relation, nullptr), std::invalid_argument);
  };
  for (const double value : {0.0, -1.0, nan, infinity}) {
    rejects(info_nce_with({.temperature = value}));
    rejects(with(cosent, {.scale = value}));
    rejects(with(kl_divergence, {.temperature = value}));
    rejects(with(kl_divergence, {.teacher_temperature = value}));
  }
  for (const double value : {-1.0, nan, infinity}) {
    rejects(info_nce_with({.in_batch_hardness = value}));
    rejects(info_nce_with({.hard_negative_hardness = value}));
    rejects(with(triplet, {.margin = value}));
    rejects(matryoshka_of(with(kl_divergence, {}), {.dimensions = {2}, .weights = {value}}));
  }
  rejects(info_nce_with({.temperature = 1e-7}));
  rejects(info_nce_with({.filter = ScoreFilter{.margin = nan}}));
  rejects(info_nce_with({.guide_filter = ScoreFilter{}}));  // and no guide
  rejects(info_nce_with({.directions = {}}));
  rejects(info_nce_with({.directions = {query_to_query}}));
  rejects(info_nce_with({.directions = {query_to_document, query_to_document}}));
  rejects(info_nce_with({.directions = {query_to_document, query_to_positive}}));
  rejects(info_nce_with({.directions = {query_to_document, query_to_query}, .joint = false}));
  rejects(info_nce_with({.directions = {query_to_document, static_cast<Direction>(9)}}));
  rejects(with(triplet, {.similarity = Similarity::dot}));
  rejects(with(triplet, {.similarity = Similarity::angle}));
  rejects(matryoshka_of(with(kl_divergence, {}), {}));
  rejects(matryoshka_of(with(kl_divergence, {}), {.dimensions = {0}}));
  rejects(matryoshka_of(with(kl_divergence, {}), {.dimensions = {7}}));
  rejects(matryoshka_of(with(kl_divergence, {}), {.dimensions = {2, 2}}));
  rejects(matryoshka_of(with(kl_divergence, {}), {.dimensions = {2, 4}, .weights = {1}}));
  rejects(matryoshka_of(with(kl_divergence, {}), {.dimensions = {2, 4}, .weights = {0, 0}}));
  rejects(matryoshka_of(with(kl_divergence, {}), {.dimensions = {2, 4}, .dimensions_per_batch = 3}));
  EXPECT_THROW(BatchLoss({}, relation), std::invalid_argument);
  EXPECT_THROW(BatchLoss({{info_nce_with({}), 0.0}}, relation), std::invalid_argument);
  EXPECT_THROW(BatchLoss({{info_nce_with({}), 1.0, {0}}}, relation), std::invalid_argument);  // no sets
}

TEST(Matryoshka, DrawsTheSameDimensionsForAllOfABatchAndOthersForTheNext) {
  const LossCase found = loss_case("mnrl");
  std::map<int64_t, int64_t> drawn;
  for (uint64_t step = 0; step < 60; ++step) {
    RelationFacts facts = found.facts;
    facts.key = RandomKey(5).with(step);
    const Relation relation(facts);
    int64_t width = 0;
    const Loss widths = [&](const Embeddings& embeddings, const Relation&, FilterCounts*) {
      width = embeddings.queries.size(1);
      return embeddings.queries.sum();
    };
    const MatryoshkaOptions options{.dimensions = {2, 4, 6}, .dimensions_per_batch = 1};
    const Embeddings embeddings = {found.queries, found.documents};
    matryoshka(widths, embeddings, relation, options);
    const int64_t first = width;
    matryoshka(widths, {found.queries, found.documents, 2, 3}, relation, options);
    EXPECT_EQ(width, first);
    ++drawn[width];
  }
  EXPECT_EQ(drawn.size(), 3u);
  for (const auto& [width, times] : drawn) EXPECT_GT(times, 9) << width;
}

// Two sets in one batch: ranked rows and scored ones.
class SumOfLosses : public testing::Test {
 protected:
  SumOfLosses() {
    const LossCase ranked = loss_case("mnrl"), scored = loss_case("cosent");
    std::vector<at::Tensor> queries, documents;
    // Rows 0, 2, 4, 6, 8 are ranked, 1, 3, 5, 7, 9, 10, 11 scored; documents follow the rows.
    const std::vector<bool> is_ranked = {true, false, true, false, true,  false,
                                         true, false, true, false, false, false};
    for (const bool is : is_ranked) {
      const LossCase& from = is ? ranked : scored;
      const size_t at = static_cast<size_t>(std::count(facts_.set.begin(), facts_.set.end(), is ? 3 : 8));
      const auto row = static_cast<int64_t>(facts_.pool.size());
      queries.push_back(from.queries[static_cast<int64_t>(at)]);
      facts_.pool.push_back(0);
      facts_.answers.emplace_back();
      facts_.set.push_back(is ? 3 : 8);
      for (size_t d = at * (is ? 3 : 1); d < (at + 1) * (is ? 3 : 1); ++d) {
        documents.push_back(from.documents[static_cast<int64_t>(d)]);
        facts_.owner.push_back(row);
        facts_.role.push_back(from.facts.role[d]);
        facts_.text.push_back(facts_.text.size());
        facts_.score.push_back(is ? std::nan("") : from.facts.score[d]);
      }
    }
    embeddings_ = {at::stack(queries), at::stack(documents)};
    ranked_ = ranked.value;
    scored_ = scored.value;
  }

  RelationFacts facts_;
  Embeddings embeddings_;
  double ranked_ = 0, scored_ = 0;
};

TEST_F(SumOfLosses, TakesEachSetByItselfAndWeighsItByItsRows) {
  const Relation relation(facts_);
  const Loss loss = [&](const Embeddings& embeddings, const Relation& given, FilterCounts* counts) {
    return BatchLoss({{losses().at("mnrl"), 0.5, {3}}, {losses().at("cosent"), 2.0, {8}}}, given)(embeddings,
                                                                                                  counts);
  };
  const Evaluated whole = evaluate(loss, embeddings_, relation);
  EXPECT_NEAR(whole.value, 0.5 * ranked_ * 5 / 12 + 2.0 * scored_ * 7 / 12, 1e-11);
  const at::Tensor ranked = loss_case("mnrl").query_gradient, scored = loss_case("cosent").query_gradient;
  expect_close(whole.query_gradient[4], ranked[2] * (0.5 * 5 / 12), 1e-12);
  expect_close(whole.query_gradient[9], scored[4] * (2.0 * 7 / 12), 1e-12);
  for (const std::vector<int64_t>& cuts : {std::vector<int64_t>{0, 1, 2, 7, 12}, {0, 11, 12}}) {
    const Evaluated parts = evaluate(loss, embeddings_, relation, at::kDouble, cuts);
    EXPECT_NEAR(parts.value, whole.value, 1e-12);
    expect_close(parts.query_gradient, whole.query_gradient, 1e-12);
    expect_close(parts.document_gradient, whole.document_gradient, 1e-12);
  }
}

TEST_F(SumOfLosses, ASetThatTheBatchLacksAddsNothing) {
  const Relation relation(facts_);
  const BatchLoss loss({{losses().at("mnrl"), 1.0, {99}}}, relation);
  EXPECT_EQ(loss(embeddings_).item<double>(), 0);
}

TEST_F(SumOfLosses, TermsForAllRowsAddUp) {
  const LossCase found = loss_case("kl");
  const Relation relation(found.facts);
  const Embeddings embeddings = {found.queries, found.documents};
  const BatchLoss loss({{losses().at("kl")}, {losses().at("mnrl"), 0.25}}, relation);
  EXPECT_NEAR(loss(embeddings).item<double>(),
              found.value + 0.25 * info_nce(embeddings, relation).item<double>(), 1e-12);
}

}  // namespace
}  // namespace decovec
