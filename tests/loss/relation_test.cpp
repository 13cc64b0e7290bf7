#include "decovec/loss/relation.hpp"

#include <chrono>
#include <gtest/gtest.h>
#include <limits>
#include <set>

#include "decovec/world/random.hpp"

namespace decovec {
namespace {

// Four queries with two documents each, positive first; queries 0 and 2 share documents.
RelationFacts four_queries() {
  std::vector<Role> roles(8, Role::negative);
  for (size_t d = 0; d < 8; d += 2) roles[d] = Role::positive;
  return {.owner = {0, 0, 1, 1, 2, 2, 3, 3},
          .role = roles,
          .pool = {0, -1, 0, 1},
          .text = {10, 11, 12, 13, 14, 15, 16, 17},
          .answers = {{10}, {12}, {14}, {16}}};
}

// int8 rows of one width.
at::Tensor rows(const std::vector<std::vector<int>>& values) {
  std::vector<at::Tensor> result;
  for (const std::vector<int>& row : values) result.push_back(at::tensor(row, at::kInt).to(at::kChar));
  return at::stack(result);
}

TEST(Relation, PoolsShareDocuments) {
  const at::Tensor expected = rows({{1, -2, 0, 0, -1, -1, 0, 0},
                                    {0, 0, 1, -2, 0, 0, 0, 0},
                                    {-1, -1, 0, 0, 1, -2, 0, 0},
                                    {0, 0, 0, 0, 0, 0, 1, -2}});
  const Relation relation(four_queries());
  EXPECT_TRUE(relation.labels(0, 4).equal(expected));
  EXPECT_TRUE(relation.labels(1, 3).equal(expected.slice(0, 1, 3)));
  EXPECT_EQ(relation.labels(2, 2).sizes(), (std::vector<int64_t>{0, 8}));
  EXPECT_EQ(relation.labels(0, 4).scalar_type(), at::kChar);
  EXPECT_EQ(relation.masked(0, 4), 0);
}

TEST(Relation, RolesAreToldApartForTheOwnQueryAlone) {
  RelationFacts facts = four_queries();
  facts.role = {Role::positive, Role::curated,  Role::positive, Role::scored,
                Role::positive, Role::positive, Role::positive, Role::negative};
  EXPECT_TRUE(Relation(facts).labels(0, 4).equal(rows({{1, -3, 0, 0, -1, -1, 0, 0},
                                                       {0, 0, 1, 0, 0, 0, 0, 0},
                                                       {-1, -1, 0, 0, 1, 1, 0, 0},
                                                       {0, 0, 0, 0, 0, 0, 1, -2}})));
}

TEST(Relation, DirectionsSayWhoMeetsWhom) {
  RelationFacts facts = four_queries();
  facts.pool = {0, 0, 0, 1};
  const Relation relation(facts);
  const auto expect = [&](Direction direction, const std::vector<std::vector<int>>& expected) {
    EXPECT_TRUE(relation.labels(0, 4, direction).equal(rows(expected))) << static_cast<int>(direction) << "\n"
                                                                        << relation.labels(0, 4, direction);
  };
  expect(Direction::query_to_positive, {{1, -2, -1, 0, -1, 0, 0, 0},
                                        {-1, 0, 1, -2, -1, 0, 0, 0},
                                        {-1, 0, -1, 0, 1, -2, 0, 0},
                                        {0, 0, 0, 0, 0, 0, 1, -2}});
  expect(Direction::query_to_query, {{0, -1, -1, 0}, {-1, 0, -1, 0}, {-1, -1, 0, 0}, {0, 0, 0, 0}});
  expect(Direction::document_to_query, {{1, -1, -1, 0}, {-1, 1, -1, 0}, {-1, -1, 1, 0}, {0, 0, 0, 1}});
  expect(Direction::document_to_document, {{0, 0, -1, -1, -1, -1, 0, 0},
                                           {-1, -1, 0, 0, -1, -1, 0, 0},
                                           {-1, -1, -1, -1, 0, 0, 0, 0},
                                           {0, 0, 0, 0, 0, 0, 0, 0}});
  expect(Direction::document_to_positive, {{0, 0, -1, 0, -1, 0, 0, 0},
                                           {-1, 0, 0, 0, -1, 0, 0, 0},
                                           {-1, 0, -1, 0, 0, 0, 0, 0},
                                           {0, 0, 0, 0, 0, 0, 0, 0}});
  EXPECT_TRUE(relation.labels(2, 3, Direction::document_to_query)
                  .equal(relation.labels(0, 4, Direction::document_to_query).slice(0, 2, 3)));
}

TEST(Relation, RightAnswersAreNobodysNegatives) {
  RelationFacts facts = four_queries();
  facts.text[4] = 10;       // query 2's positive is the same text as query 0's
  facts.answers[2] = {10};  //
  // One was drawn as its own negative, one is another's, one is absent.
  facts.answers[0] = {10, 11, 15, 999};
  facts.answers[1] = {12, 12, 16};  // 16 belongs to query 3, which query 1 does not see
  const Relation relation(facts);
  EXPECT_TRUE(relation.labels(0, 4).equal(rows({{1, 0, 0, 0, 0, 0, 0, 0},
                                                {0, 0, 1, -2, 0, 0, 0, 0},
                                                {0, -1, 0, 0, 1, -2, 0, 0},
                                                {0, 0, 0, 0, 0, 0, 1, -2}})));
  EXPECT_EQ(relation.masked(0, 1), 3);
  EXPECT_EQ(relation.masked(1, 2), 0);
  EXPECT_EQ(relation.masked(2, 3), 1);
  EXPECT_EQ(relation.masked(0, 4), 4);
  // Queries 0 and 2 are related, and so are their documents.
  const Direction queries = Direction::query_to_query, documents = Direction::document_to_document;
  EXPECT_TRUE(relation.labels(0, 1, queries).equal(rows({{0, 0, 0, 0}})));
  EXPECT_TRUE(relation.labels(2, 3, queries).equal(rows({{0, 0, 0, 0}})));
  EXPECT_TRUE(relation.labels(0, 1, Direction::document_to_query).equal(rows({{1, 0, 0, 0}})));
  EXPECT_TRUE(relation.labels(2, 3, documents).equal(rows({{0, -1, 0, 0, 0, 0, 0, 0}})));
}

TEST(Relation, AnswersAreKnownByIdToo) {
  RelationFacts facts = four_queries();
  facts.id = {500, 0, 501, 0, 502, 503, 0, 0};
  facts.answers[0] = {503};  // query 2's negative, by id; 502 is query 2's own positive by its role
  facts.text[1] = 14;        // query 0's negative is query 2's positive, under another id or none
  const Relation relation(facts);
  EXPECT_TRUE(relation.labels(0, 3).equal(
      rows({{1, -2, 0, 0, -1, 0, 0, 0}, {0, 0, 1, -2, 0, 0, 0, 0}, {-1, 0, 0, 0, 1, -2, 0, 0}})));
  EXPECT_EQ(relation.masked(0, 4), 2);
  facts.id[5] = 502;  // one id for two texts: both are query 2's answer, by text and id or by id alone
  EXPECT_TRUE(Relation(facts).labels(2, 3).equal(rows({{-1, 0, 0, 0, 1, 0, 0, 0}})));
  EXPECT_EQ(Relation(facts).masked(2, 3), 2);
}

TEST(Relation, QueriesOfOneTextShareTheirAnswers) {
  RelationFacts facts = four_queries();
  facts.query_text = {70, 71, 70, 72};
  const Relation relation(facts);
  EXPECT_TRUE(relation.labels(0, 1).equal(rows({{1, -2, 0, 0, 0, -1, 0, 0}})));
  EXPECT_TRUE(relation.labels(2, 3).equal(rows({{0, -1, 0, 0, 1, -2, 0, 0}})));
  EXPECT_TRUE(relation.labels(0, 1, Direction::query_to_query).equal(rows({{0, 0, 0, 0}})));
  // 15 is a negative of both, 14 a positive of both.
  EXPECT_TRUE(
      relation.labels(0, 1, Direction::document_to_document).equal(rows({{0, 0, 0, 0, 0, -1, 0, 0}})));
}

TEST(Relation, APositiveOfARelatedQueryIsNoNegativeOfAPositive) {
  RelationFacts facts = four_queries();
  facts.answers[2] = {10};  // query 0's positive answers query 2, whose own positive is another
  const Relation relation(facts);
  EXPECT_TRUE(relation.labels(0, 1).equal(rows({{1, -2, 0, 0, -1, -1, 0, 0}})));
  EXPECT_TRUE(relation.labels(0, 1, Direction::query_to_query).equal(rows({{0, 0, 0, 0}})));
  EXPECT_TRUE(
      relation.labels(0, 1, Direction::document_to_document).equal(rows({{0, 0, 0, 0, 0, -1, 0, 0}})));
}

TEST(Relation, ThePositiveIsPositiveEvenIfNotListedAsAnAnswer) {
  RelationFacts facts = four_queries();
  facts.answers[0].clear();
  EXPECT_EQ(Relation(facts).labels(0, 1)[0][0].item<int>(), 1);
}

// Facts with many coincidences.
RelationFacts random_facts(RandomKey key) {
  const int64_t queries = 1 + static_cast<int64_t>(random_below(key.with("queries"), 12));
  const bool ids = random_below(key.with("ids"), 2) == 0, texts = random_below(key.with("texts"), 2) == 0;
  RelationFacts facts;
  for (int64_t q = 0; q < queries; ++q) {
    const RandomKey row = key.with(static_cast<uint64_t>(q));
    facts.pool.push_back(static_cast<int32_t>(random_below(row.with("pool"), 3)) - 1);
    if (texts) facts.query_text.push_back(random_below(row.with("query"), 20));
    const uint64_t own = 1 + random_below(row.with("documents"), 4);
    for (uint64_t d = 0; d < own; ++d) {
      facts.owner.push_back(q);
      facts.role.push_back(d == 0 ? Role::positive
                                  : static_cast<Role>(random_below(row.with("role").with(d), 4)));
      facts.text.push_back(random_below(row.with("text").with(d), 30));
      if (ids) facts.id.push_back(random_below(row.with("id").with(d), 4) * (1000 + d));
    }
    std::vector<uint64_t>& answers = facts.answers.emplace_back();
    for (uint64_t a = random_below(row.with("answers"), 3); a > 0; --a)
      answers.push_back(random_below(row.with("answer").with(a), 30));
  }
  return facts;
}

TEST(Relation, AgreesWithThePlainStatementOnRandomFacts) {
  for (uint64_t trial = 0; trial < 100; ++trial) {
    const RelationFacts facts = random_facts(RandomKey(1).with(trial));
    const Relation relation(facts);
    const auto queries = static_cast<size_t>(relation.queries());
    const auto documents = static_cast<size_t>(relation.documents());
    std::vector<std::set<uint64_t>> answers(queries);
    for (size_t q = 0; q < queries; ++q) {
      for (size_t other = 0; other < queries; ++other) {
        if (q != other && (facts.query_text.empty() || facts.query_text[q] != facts.query_text[other]))
          continue;
        answers[q].insert(facts.answers[other].begin(), facts.answers[other].end());
        for (size_t d = 0; d < documents; ++d) {
          if (facts.owner[d] != static_cast<int64_t>(other) || facts.role[d] != Role::positive) continue;
          answers[q].insert(facts.text[d]);
          if (!facts.id.empty() && facts.id[d] != 0) answers[q].insert(facts.id[d]);
        }
      }
    }
    const auto owner = [&](size_t d) { return static_cast<size_t>(facts.owner[d]); };
    const auto answer = [&](size_t q, size_t d) {
      if (answers[q].contains(facts.text[d])) return true;
      return !facts.id.empty() && facts.id[d] != 0 && answers[q].contains(facts.id[d]);
    };
    const auto sees = [&](size_t q, size_t other) {
      return q == other || (facts.pool[q] >= 0 && facts.pool[q] == facts.pool[other]);
    };
    const auto related = [&](size_t q, size_t other) {
      if (q == other) return true;
      for (size_t d = 0; d < documents; ++d) {
        if (facts.role[d] != Role::positive) continue;
        if ((owner(d) == q && answer(other, d)) || (owner(d) == other && answer(q, d))) return true;
      }
      return false;
    };
    const auto labels = [&](Direction direction) {
      return relation.labels(0, static_cast<int64_t>(queries), direction);
    };
    const at::Tensor to_document = labels(Direction::query_to_document);
    const at::Tensor to_positive = labels(Direction::query_to_positive);
    const at::Tensor between_queries = labels(Direction::query_to_query);
    const at::Tensor from_document = labels(Direction::document_to_query);
    const at::Tensor between_documents = labels(Direction::document_to_document);
    const at::Tensor between_positives = labels(Direction::document_to_positive);
    const auto at_place = [](const at::Tensor& tile, size_t row, size_t column) {
      return static_cast<int>(tile.data_ptr<int8_t>()[row * static_cast<size_t>(tile.size(1)) + column]);
    };
    int64_t masked = 0;
    for (size_t q = 0; q < queries; ++q) {
      for (size_t d = 0; d < documents; ++d) {
        const bool own = owner(d) == q, positive = facts.role[d] == Role::positive;
        int expected = sees(q, owner(d)) && !answer(q, d) ? -1 : 0;
        if (own && positive)
          expected = 1;
        else if (own && expected == -1)
          expected = facts.role[d] == Role::curated ? -3 : facts.role[d] == Role::scored ? 0 : -2;
        ASSERT_EQ(at_place(to_document, q, d), expected) << trial << " " << q << " " << d;
        ASSERT_EQ(at_place(to_positive, q, d), own || positive ? expected : 0);
        masked += sees(q, owner(d)) && answer(q, d) && !(own && positive);
        const bool apart = expected == -1 && !own && !(positive && related(q, owner(d)));
        ASSERT_EQ(at_place(between_documents, q, d), apart ? -1 : 0) << trial << " " << q << " " << d;
        ASSERT_EQ(at_place(between_positives, q, d), apart && positive ? -1 : 0);
      }
      for (size_t other = 0; other < queries; ++other) {
        const int expected = sees(q, other) && !related(q, other) ? -1 : 0;
        ASSERT_EQ(at_place(between_queries, q, other), expected) << trial << " " << q << " " << other;
        ASSERT_EQ(at_place(from_document, q, other), q == other ? 1 : expected);
      }
    }
    ASSERT_EQ(relation.masked(0, static_cast<int64_t>(queries)), masked);
  }
}

TEST(Relation, APartIsTheBatchOfSomeSets) {
  RelationFacts facts = four_queries();
  facts.set = {5, 6, 5, 7};
  facts.score = {1, 2, 3, 4, 5, 6, 7, 8};
  facts.id = {51, 52, 53, 54, 55, 56, 57, 58};
  facts.query_text = {1, 2, 3, 4};
  facts.key = RandomKey(9);
  const Relation::Part part = Relation(facts).part({7, 5});
  EXPECT_EQ(part.queries, (std::vector<int64_t>{0, 2, 3}));
  EXPECT_EQ(part.documents, (std::vector<int64_t>{0, 1, 4, 5, 6, 7}));
  const RelationFacts& of_part = part.relation.facts();
  EXPECT_EQ(of_part.owner, (std::vector<int64_t>{0, 0, 1, 1, 2, 2}));
  EXPECT_EQ(of_part.score, (std::vector<double>{1, 2, 5, 6, 7, 8}));
  EXPECT_EQ(of_part.id, (std::vector<uint64_t>{51, 52, 55, 56, 57, 58}));
  EXPECT_EQ(of_part.query_text, (std::vector<uint64_t>{1, 3, 4}));
  EXPECT_EQ(of_part.pool, (std::vector<int32_t>{0, 0, 1}));
  EXPECT_EQ(of_part.key.value, RandomKey(9).value);
  const at::Tensor expected = rows({{1, -2, -1, -1, 0, 0}, {-1, -1, 1, -2, 0, 0}, {0, 0, 0, 0, 1, -2}});
  EXPECT_TRUE(part.relation.labels(0, 3).equal(expected));
  EXPECT_EQ(Relation(facts).part({1}).relation.queries(), 0);
  EXPECT_THROW(Relation(four_queries()).part({1}), std::invalid_argument);
}

// Batches of thousands of queries of which many share their right answer.
TEST(Relation, ALargeTileIsQuick) {
  RelationFacts facts;
  for (int64_t q = 0; q < 4096; ++q) {
    facts.pool.push_back(0);
    facts.query_text.push_back(static_cast<uint64_t>(q));
    facts.answers.push_back({static_cast<uint64_t>(q % 45)});
    for (int64_t d = 0; d < 8; ++d) {
      facts.text.push_back(d == 0 ? static_cast<uint64_t>(q % 45) : 1000 + facts.owner.size());
      facts.owner.push_back(q);
      facts.role.push_back(d == 0 ? Role::positive : Role::negative);
    }
  }
  const auto start = std::chrono::steady_clock::now();
  const auto since = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const Relation relation(std::move(facts));
  const double built = since();
  const at::Tensor labels = relation.labels(0, 4096);
  const double whole = since();
  for (int64_t q = 0; q < 4096; q += 16) relation.labels(q, q + 16);
  const double tiled = since();
  const auto* values = labels.data_ptr<int8_t>();
  EXPECT_EQ(std::count(values, values + labels.numel(), 1), 4096);
  EXPECT_EQ(std::count(values, values + labels.numel(), 0), relation.masked(0, 4096));
  RecordProperty("milliseconds_built", static_cast<int>(built * 1000));
  RecordProperty("milliseconds_whole", static_cast<int>((whole - built) * 1000));
  RecordProperty("milliseconds_tiled", static_cast<int>((tiled - whole) * 1000));
  EXPECT_LT(tiled, 10.0);  // a look through the answers of each pair takes minutes
}

TEST(Relation, RefusesWhatContradictsItself) {
  const auto rejects = [](auto change) {
    RelationFacts facts = four_queries();
    change(facts);
    EXPECT_THROW(Relation{facts}, std::invalid_argument);
  };
  EXPECT_NO_THROW(Relation{four_queries()});
  rejects([](RelationFacts& f) { f.owner[3] = 4; });
  rejects([](RelationFacts& f) { f.owner[3] = -1; });
  rejects([](RelationFacts& f) { f.owner.pop_back(); });
  rejects([](RelationFacts& f) { f.role.pop_back(); });
  rejects([](RelationFacts& f) { f.role[0] = static_cast<Role>(4); });
  rejects([](RelationFacts& f) { f.text.pop_back(); });
  rejects([](RelationFacts& f) { f.pool.pop_back(); });
  rejects([](RelationFacts& f) { f.answers.pop_back(); });
  rejects([](RelationFacts& f) { f.id = {1}; });
  rejects([](RelationFacts& f) { f.query_text = {1}; });
  rejects([](RelationFacts& f) { f.set = {1}; });
  rejects([](RelationFacts& f) { f.score = {1}; });
  rejects([](RelationFacts& f) { f.score.assign(8, std::numeric_limits<double>::infinity()); });
  rejects([](RelationFacts& f) { f.pool[1] = -2; });
  rejects([](RelationFacts& f) { f.owner[2] = f.owner[3] = 0; });  // query 1 has no documents
  const Relation relation(four_queries());
  for (const auto& [begin, end] : {std::pair(-1, 2), {3, 2}, {0, 5}}) {
    EXPECT_THROW(relation.labels(begin, end), std::invalid_argument);
    EXPECT_THROW(relation.labels(begin, end, Direction::query_to_query), std::invalid_argument);
    EXPECT_THROW(relation.masked(begin, end), std::invalid_argument);
  }
  EXPECT_THROW(relation.documents_of(4), std::invalid_argument);
  EXPECT_EQ(Relation().labels(0, 0).sizes(), (std::vector<int64_t>{0, 0}));
}

}  // namespace
}  // namespace decovec
