#include "decovec/eval/metrics.hpp"

#include <gtest/gtest.h>

#include "io/json.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

Json reference(const char* list) { return read_json(test_data() / "eval" / "metrics.json").at(list); }

TEST(Metrics, RetrievalAgreesWithTrecEval) {
  int64_t compared = 0;
  for (const Json& item : reference("retrieval")) {
    const auto judgements = item["judgements"].get<Judgements>();
    Ranking ranking;
    for (const Json& pair : item["ranking"])
      ranking.emplace_back(pair[0], static_cast<float>(pair[1].get<double>()));
    ranking = trec_order(ranking);
    for (const Json& cut : item["cutoffs"]) {
      const int64_t k = cut["k"];
      EXPECT_NEAR(ndcg_at(ranking, judgements, k), cut["ndcg"].get<double>(), 1e-14) << item;
      EXPECT_NEAR(recall_at(ranking, judgements, k), cut["recall"].get<double>(), 1e-14) << item;
      EXPECT_NEAR(reciprocal_rank_at(ranking, judgements, k), cut["mrr"].get<double>(), 1e-14) << item;
      ++compared;
    }
  }
  EXPECT_GE(compared, 100);
}

TEST(Metrics, TrecOrderIsOneOrderForEveryInput) {
  const Ranking expected = {{"b", 2.f}, {"z", 1.f}, {"a9", 1.f}, {"a10", 1.f}, {"a", 0.f}};
  Ranking ranking = expected;
  std::sort(ranking.begin(), ranking.end());
  do {
    EXPECT_EQ(trec_order(ranking), expected);
  } while (std::next_permutation(ranking.begin(), ranking.end()));
  EXPECT_THROW(trec_order({{"a", std::nanf("")}}), std::invalid_argument);
}

TEST(Metrics, EmptyRankingsScoreNothing) {
  EXPECT_EQ(ndcg_at({}, {{"a", 1}}, 10), 0);
  EXPECT_EQ(recall_at({}, {{"a", 1}}, 10), 0);
  EXPECT_EQ(reciprocal_rank_at({}, {{"a", 1}}, 10), 0);
  EXPECT_EQ(ndcg_at({{"a", 1.f}}, {}, 10), 0);
  EXPECT_EQ(recall_at({{"a", 1.f}}, {}, 10), 0);
  EXPECT_THROW(ndcg_at({}, {}, 0), std::invalid_argument);
  EXPECT_THROW(recall_at({}, {}, -1), std::invalid_argument);
  EXPECT_THROW(reciprocal_rank_at({}, {}, 0), std::invalid_argument);
}

TEST(Metrics, SpearmanAgreesWithScipy) {
  for (const Json& item : reference("spearman")) {
    const double rho = spearman(item["a"], item["b"]);
    if (item["rho"].is_null())
      EXPECT_TRUE(std::isnan(rho)) << item;
    else
      EXPECT_NEAR(rho, item["rho"].get<double>(), 1e-13) << item;
  }
  EXPECT_TRUE(std::isnan(spearman({}, {})));
  EXPECT_TRUE(std::isnan(spearman({1, std::nan("")}, {1, 2})));
  EXPECT_THROW(spearman({1}, {}), std::invalid_argument);
}

TEST(Metrics, VMeasureAgreesWithScikitLearn) {
  for (const Json& item : reference("v_measure"))
    EXPECT_NEAR(v_measure(item["classes"], item["clusters"]), item["v"].get<double>(), 1e-12) << item;
  EXPECT_THROW(v_measure({1}, {}), std::invalid_argument);
}

TEST(Metrics, AccuracyAgreesWithScikitLearn) {
  for (const Json& item : reference("accuracy"))
    EXPECT_DOUBLE_EQ(accuracy(item["truth"], item["predicted"]), item["accuracy"].get<double>()) << item;
  EXPECT_TRUE(std::isnan(accuracy({}, {})));
  EXPECT_THROW(accuracy({1}, {}), std::invalid_argument);
}

}  // namespace
}  // namespace decovec
