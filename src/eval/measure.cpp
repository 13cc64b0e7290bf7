#include "eval/measure.hpp"

#include <set>

#include <ATen/ATen.h>

#include "decovec/eval/classifiers.hpp"
#include "decovec/search/top_k.hpp"
#include "io/error.hpp"

namespace decovec {
namespace {

// Means over queries, a ranking at a time: all rankings at once may need more memory than the vectors.
class RetrievalScores {
 public:
  void add(Ranking ranking, const Judgements& judgements) {
    ranking = trec_order(std::move(ranking));
    ndcg_ += ndcg_at(ranking, judgements, 10);
    reciprocal_rank_ += reciprocal_rank_at(ranking, judgements, 10);
    recall_ += recall_at(ranking, judgements, 100);
    ++queries_;
  }
  TaskReport report(const std::string& task) const {
    return {task,
            "retrieval",
            {{"ndcg@10", ndcg_ / queries_},
             {"mrr@10", reciprocal_rank_ / queries_},
             {"recall@100", recall_ / queries_}}};
  }

 private:
  double ndcg_ = 0, reciprocal_rank_ = 0, recall_ = 0;
  double queries_ = 0;
};

at::Tensor unit_rows(const at::Tensor& rows) { return apply({Normalize{}}, rows); }

}  // namespace

TaskReport score_retrieval(const RetrievalTask& task, const std::vector<Ranking>& rankings) {
  if (rankings.size() != task.queries.size())
    reject("score_retrieval: rankings: expected {}, one a query, got {}", task.queries.size(),
           rankings.size());
  RetrievalScores scores;
  for (size_t q = 0; q < rankings.size(); ++q) scores.add(rankings[q], task.judgements[q]);
  return scores.report(task.name);
}

std::vector<Ranking> bm25_rankings(const RetrievalTask& task, int64_t top, const Bm25Options& options) {
  const Bm25 index(task.documents, options);
  std::vector<Ranking> rankings;
  for (const std::string& query : task.queries) {
    Ranking& ranking = rankings.emplace_back();
    for (const auto& [document, score] : index.top(query, top))
      ranking.emplace_back(task.document_ids[static_cast<size_t>(document)], score);
  }
  return rankings;
}

TaskReport measure(const RetrievalTask& task, const at::Tensor& queries, const at::Tensor& documents,
                   int64_t top) {
  const Neighbours found = top_k(unit_rows(queries), unit_rows(documents), top);
  const int64_t* index = found.indices.const_data_ptr<int64_t>();
  const float* score = found.scores.const_data_ptr<float>();
  RetrievalScores scores;
  for (const Judgements& judgements : task.judgements) {
    Ranking ranking;
    for (int64_t i = 0; i < found.indices.size(1); ++i)
      ranking.emplace_back(task.document_ids[static_cast<size_t>(*index++)], *score++);
    scores.add(std::move(ranking), judgements);
  }
  return scores.report(task.name);
}

TaskReport measure(const ClassificationTask& task, const at::Tensor& train, const at::Tensor& test) {
  const std::vector<int64_t> predicted = logistic_regression(train, task.train_labels, test);
  return {task.name, "classification", {{"accuracy", accuracy(task.test_labels, predicted)}}};
}

TaskReport measure(const ClusteringTask& task, const at::Tensor& texts) {
  const auto labels = std::set<int64_t>(task.labels.begin(), task.labels.end()).size();
  const std::vector<int64_t> clusters = k_means(texts, static_cast<int64_t>(labels));
  return {task.name, "clustering", {{"v_measure", v_measure(task.labels, clusters)}}};
}

TaskReport measure(const SimilarityTask& task, const at::Tensor& first, const at::Tensor& second) {
  const at::Tensor cosines =
      (unit_rows(first) * unit_rows(second)).sum(1).to(at::kCPU, at::kDouble).contiguous();
  const double* data = cosines.const_data_ptr<double>();
  return {task.name,
          "similarity",
          {{"spearman", spearman(std::vector<double>(data, data + cosines.numel()), task.scores)}}};
}

}  // namespace decovec
