#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "decovec/eval/metrics.hpp"
#include "decovec/model/embedder.hpp"
#include "decovec/search/bm25.hpp"
#include "decovec/world/world.hpp"

namespace decovec {

/// A BEIR folder: corpus.jsonl {"_id", "title", "text"}, queries.jsonl {"_id", "text"}, qrels/test.tsv
/// (query-id, corpus-id, score). Queries without a relevant document are left out. A judged document that the
/// corpus lacks counts as relevant and cannot be found, as in trec_eval; a judged query without a text is an
/// error.
struct RetrievalTask {
  std::string name;
  std::vector<std::string> document_ids, documents;  ///< title and text joined by a space
  std::vector<std::string> query_ids, queries;
  std::vector<Judgements> judgements;  ///< one a query
};

/// train.jsonl and test.jsonl {"text", "label"}. Labels are strings or integers, all of one kind; they are
/// numbered from 0 as they appear. A test label that train lacks counts as an error of the classifier.
struct ClassificationTask {
  std::string name;
  std::vector<std::string> train, test;
  std::vector<int64_t> train_labels, test_labels;
};

/// test.jsonl {"text", "label"}.
struct ClusteringTask {
  std::string name;
  std::vector<std::string> texts;
  std::vector<int64_t> labels;
};

/// sts.jsonl {"sentence1", "sentence2", "score"}.
struct SimilarityTask {
  std::string name;
  std::vector<std::string> first, second;
  std::vector<double> scores;
};

/// A measured task: the metrics in the order to show them, the main one first. Shares lie in [0, 1],
/// correlations in [-1, 1].
struct TaskReport {
  std::string task;  ///< the folder's name
  std::string kind;  ///< retrieval, classification, clustering, similarity
  std::vector<std::pair<std::string, double>> metrics;
  std::string prompt = {};  ///< what was put before the queries, or the texts of other tasks
};

struct EvaluateOptions {
  EncodeOptions encode = {};  ///< max_length, truncate, batch_tokens; its prompt counts before every other
                              ///< choice, and its suffix is not for retrieval's documents
  /// The name of the prompt for queries, and for the texts of other tasks. Where empty, retrieval uses the
  /// folder's `query` where it has it, other tasks the prompt of the task folder's name where there is one,
  /// else the folder's default. Retrieval's documents always have the folder's `document`, or its default.
  std::string prompt_name = {};
  int64_t top = 1000;  ///< documents ranked for a query, 100 or more
  std::function<void(const std::string& what, int64_t done, int64_t total)> on_progress = {};
  /// The ranks that call together: each encodes its share of the texts, and all get all figures. Empty: this
  /// process alone.
  World* world = nullptr;
};

/// Reads a task folder, told by its files, and measures the model on it:
/// - corpus.jsonl, retrieval by cosine: ndcg@10, mrr@10, recall@100;
/// - sts.jsonl, similarity: spearman of the cosine with the scores;
/// - train.jsonl and test.jsonl, classification: accuracy of a logistic regression on the vectors;
/// - test.jsonl alone, clustering: v_measure of k-means with as many clusters as labels.
/// Throws std::runtime_error that names file, line and field, std::invalid_argument for a text too long.
TaskReport evaluate(const Embedder& model, const std::filesystem::path& task_folder,
                    const EvaluateOptions& options = {});

RetrievalTask load_retrieval(const std::filesystem::path& folder);
ClassificationTask load_classification(const std::filesystem::path& folder);
ClusteringTask load_clustering(const std::filesystem::path& folder);
SimilarityTask load_similarity(const std::filesystem::path& folder);

/// ndcg@10, mrr@10 and recall@100 of rankings, one a query, in any order.
TaskReport score_retrieval(const RetrievalTask& task, const std::vector<Ranking>& rankings);

/// The `top` best documents of each query by BM25: what an embedder is compared with.
std::vector<Ranking> bm25_rankings(const RetrievalTask& task, int64_t top = 1000,
                                   const Bm25Options& options = {});

/// The reports as an aligned Markdown table, a row a task, a column a metric: figures times 100, two
/// decimals.
std::string table(const std::vector<TaskReport>& reports);
/// The reports as one JSON text, [{"task", "kind", "prompt", "metrics": {name: figure}}], figures as they
/// are; one that is not a number is null.
std::string to_json(const std::vector<TaskReport>& reports);

}  // namespace decovec
