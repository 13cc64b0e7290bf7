#include "decovec/loss/relation.hpp"

#include <chrono>
#include <gtest/gtest.h>
#include <numeric>
#include <set>

#include "decovec/world/random.hpp"

namespace decovec {
namespace {

// Four queries with two documents each, positive first; queries 0 and 2 share documents.
Relation four_queries() {
  return {.owner = {0, 0, 1, 1, 2, 2, 3, 3},
          .positive = {0, 2, 4, 6},
          .pool = {0, -1, 0, 1},
          .text = {10, 11, 12, 13, 14, 15, 16, 17},
          .answers = {{10}, {12}, {14}, {16}}};
}

at::Tensor rows(const std::vector<std::vector<int8_t>>& values) {
  at::Tensor result = at::empty({static_cast<int64_t>(values.size()), 8}, at::kChar);
  for (size_t i = 0; i < values.size(); ++i) {
    std::copy(values[i].begin(), values[i].end(), result.data_ptr<int8_t>() + 8 * i);
  }
  return result;
}

TEST(Relation, PoolsShareDocuments) {
  const at::Tensor expected = rows({{1, -1, 0, 0, -1, -1, 0, 0},
                                    {0, 0, 1, -1, 0, 0, 0, 0},
                                    {-1, -1, 0, 0, 1, -1, 0, 0},
                                    {0, 0, 0, 0, 0, 0, 1, -1}});
  const Relation relation = four_queries();
  EXPECT_TRUE(relation.labels(0, 4).equal(expected));
  EXPECT_TRUE(relation.labels(1, 3).equal(expected.slice(0, 1, 3)));
  EXPECT_EQ(relation.labels(2, 2).sizes(), (std::vector<int64_t>{0, 8}));
  EXPECT_EQ(relation.labels(0, 4).scalar_type(), at::kChar);
  EXPECT_EQ(relation.masked(0, 4), 0);
}

TEST(Relation, RightAnswersAreNobodysNegatives) {
  Relation relation = four_queries();
  relation.text[4] = 10;       // query 2's positive is the same text as query 0's
  relation.answers[2] = {10};  //
  relation.answers[0] = {10, 11, 15,
                         999};         // one was drawn as its own negative, one is another's, one is absent
  relation.answers[1] = {12, 12, 16};  // 16 belongs to query 3, which query 1 does not see
  EXPECT_TRUE(relation.labels(0, 4).equal(rows({{1, 0, 0, 0, 0, 0, 0, 0},
                                                {0, 0, 1, -1, 0, 0, 0, 0},
                                                {0, -1, 0, 0, 1, -1, 0, 0},
                                                {0, 0, 0, 0, 0, 0, 1, -1}})));
  EXPECT_EQ(relation.masked(0, 1), 3);
  EXPECT_EQ(relation.masked(1, 2), 0);
  EXPECT_EQ(relation.masked(2, 3), 1);
  EXPECT_EQ(relation.masked(0, 4), 4);
}

TEST(Relation, ThePositiveIsPositiveEvenIfNotListedAsAnAnswer) {
  Relation relation = four_queries();
  relation.answers[0].clear();
  EXPECT_EQ(relation.labels(0, 1)[0][0].item<int>(), 1);
}

TEST(Relation, AgreesWithThePlainStatementOnRandomRelations) {
  for (uint64_t trial = 0; trial < 30; ++trial) {
    const RandomKey key = RandomKey(1).with(trial);
    const int64_t queries = 1 + static_cast<int64_t>(random_below(key.with("queries"), 12));
    Relation relation;
    for (int64_t q = 0; q < queries; ++q) {
      const RandomKey row = key.with(static_cast<uint64_t>(q));
      relation.pool.push_back(static_cast<int32_t>(random_below(row.with("pool"), 3)) - 1);
      relation.positive.push_back(relation.documents());
      const uint64_t own = 1 + random_below(row.with("documents"), 4);
      for (uint64_t d = 0; d < own; ++d) {
        relation.owner.push_back(q);
        relation.text.push_back(random_below(row.with("text").with(d), 9));
      }
      std::vector<uint64_t> answers = {relation.text[static_cast<size_t>(relation.positive.back())]};
      for (uint64_t a = random_below(row.with("answers"), 3); a > 0; --a) {
        answers.push_back(random_below(row.with("answer").with(a), 9));
      }
      std::sort(answers.begin(), answers.end());
      relation.answers.push_back(answers);
    }
    const at::Tensor labels = relation.labels(0, queries);
    int64_t masked = 0;
    for (int64_t q = 0; q < queries; ++q) {
      const auto& answers = relation.answers[static_cast<size_t>(q)];
      for (int64_t d = 0; d < relation.documents(); ++d) {
        const int64_t owner = relation.owner[static_cast<size_t>(d)];
        const int32_t pool = relation.pool[static_cast<size_t>(q)];
        const bool seen = owner == q || (pool >= 0 && relation.pool[static_cast<size_t>(owner)] == pool);
        const bool positive = relation.positive[static_cast<size_t>(q)] == d;
        const bool answer =
            std::count(answers.begin(), answers.end(), relation.text[static_cast<size_t>(d)]) > 0;
        masked += seen && answer && !positive;
        ASSERT_EQ(labels[q][d].item<int>(), positive ? 1 : seen && !answer ? -1 : 0) << q << " " << d;
      }
    }
    ASSERT_EQ(relation.masked(0, queries), masked);
  }
}

TEST(Relation, ALargeTileIsQuick) {
  Relation relation;
  for (int64_t q = 0; q < 4096; ++q) {
    relation.positive.push_back(relation.documents());
    relation.pool.push_back(0);
    for (int64_t d = 0; d < 8; ++d) {
      relation.owner.push_back(q);
      relation.text.push_back(static_cast<uint64_t>(d == 0 ? q % 45 : 1000 + relation.documents()));
    }
    relation.answers.push_back({static_cast<uint64_t>(q % 45)});
  }
  const auto start = std::chrono::steady_clock::now();
  const at::Tensor labels = relation.labels(0, 4096);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const auto* values = labels.data_ptr<int8_t>();
  EXPECT_EQ(std::count(values, values + labels.numel(), 1), 4096);
  EXPECT_EQ(std::count(values, values + labels.numel(), 0), relation.masked(0, 4096));
  RecordProperty("milliseconds", static_cast<int>(seconds.count() * 1000));
  EXPECT_LT(seconds.count(),
            10.0);  // 0.3 s on two cores; a look through the answers of each pair takes minutes
}

TEST(Relation, RefusesWhatContradictsItself) {
  const auto rejects = [](auto change) {
    Relation relation = four_queries();
    change(relation);
    EXPECT_THROW(validate(relation), std::invalid_argument);
    EXPECT_THROW(relation.labels(0, 1), std::invalid_argument);
    EXPECT_THROW(relation.masked(0, 1), std::invalid_argument);
  };
  EXPECT_NO_THROW(validate(four_queries()));
  rejects([](Relation& r) { r.owner[3] = 4; });
  rejects([](Relation& r) { r.owner[3] = -1; });
  rejects([](Relation& r) { r.owner.pop_back(); });
  rejects([](Relation& r) { r.text.pop_back(); });
  rejects([](Relation& r) { r.pool.pop_back(); });
  rejects([](Relation& r) { r.answers.pop_back(); });
  rejects([](Relation& r) { r.pool[1] = -2; });
  rejects([](Relation& r) { r.positive[1] = 8; });
  rejects([](Relation& r) { r.positive[1] = -1; });
  rejects([](Relation& r) { r.positive[1] = 4; });  // query 2 owns it
  rejects([](Relation& r) { r.answers[0] = {11, 10}; });
  EXPECT_THROW(four_queries().labels(-1, 2), std::invalid_argument);
  EXPECT_THROW(four_queries().labels(3, 2), std::invalid_argument);
  EXPECT_THROW(four_queries().labels(0, 5), std::invalid_argument);
  EXPECT_THROW(four_queries().masked(0, 5), std::invalid_argument);
}

}  // namespace
}  // namespace decovec
