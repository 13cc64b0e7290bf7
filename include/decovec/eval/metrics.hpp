#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace decovec {

/// document id to relevance; above 0 is relevant.
using Judgements = std::map<std::string, int>;
/// document ids with scores, each document once, in any order.
using Ranking = std::vector<std::pair<std::string, float>>;

/// Ranked as trec_eval does: by score (float32) descending, equal scores by document id descending. Throws
/// std::invalid_argument for a score that is not a number.
Ranking trec_order(Ranking ranking);

/// trec_eval's ndcg_cut: linear gain (none below 0), discount 1/log2(rank + 1), ideal over all judged
/// documents, ranked or not, cut at k. `ranking` in trec order. 0 where nothing is relevant.
double ndcg_at(const Ranking& ranking, const Judgements& judgements, int64_t k);
/// 1 / rank of the first relevant document among the first k; 0 where there is none.
double reciprocal_rank_at(const Ranking& ranking, const Judgements& judgements, int64_t k);
/// Relevant documents among the first k over all relevant ones, ranked or not; 0 where nothing is relevant.
double recall_at(const Ranking& ranking, const Judgements& judgements, int64_t k);

/// Spearman's rank correlation, ties at their average rank (scipy.stats.spearmanr). NaN where one side is
/// constant or holds a NaN.
double spearman(const std::vector<double>& a, const std::vector<double>& b);

/// Harmonic mean of homogeneity and completeness (scikit-learn's v_measure_score, beta 1).
double v_measure(const std::vector<int64_t>& classes, const std::vector<int64_t>& clusters);

/// The share of equal entries; NaN for none.
double accuracy(const std::vector<int64_t>& truth, const std::vector<int64_t>& predicted);

}  // namespace decovec
