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

namespace decovec {

/// A BEIR folder: corpus.jsonl {"_id", "title", "text"}, queries.jsonl {"_id", "text"}, qrels/test.tsv
/// (query-id, corpus-id, score). Queries without a relevant document are left out.
struct RetrievalTask {
  std::string name;
  std::vector<std::string> document_ids, documents;  ///< title and text joined by a space
  std::vector<std::string> query_ids, queries;
  std::vector<Judgements> judgements;  ///< one a query
};

/// train.jsonl and test.jsonl {"text", "label"}.
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

/// A measured task: the metrics in the order to show them, the main one first.
struct TaskReport {
  std::string task;  ///< the folder's name
  std::string kind;  ///< retrieval, classification, clustering, similarity
  std::vector<std::pair<std::string, double>> metrics;
};

struct EvaluateOptions {
  EncodeOptions encode;  ///< max_length, truncate, batch_tokens; its prompt overrides every other choice
  /// A prompt's name for all texts. Where empty, retrieval uses the folder's prompts `query` and `document`
  /// where it has them, other tasks the prompt of the task folder's name where there is one, else none.
  std::string prompt_name;
  int64_t top = 1000;  ///< documents ranked for a query
  std::function<void(const std::string& what, int64_t done, int64_t total)> on_progress;
};

/// Reads a task folder, told by its files, and measures the model on it. Throws std::runtime_error that names
/// file, line and field.
TaskReport evaluate(const Embedder& model, const std::filesystem::path& task_folder,
                    const EvaluateOptions& options = {});

RetrievalTask load_retrieval(const std::filesystem::path& folder);
ClassificationTask load_classification(const std::filesystem::path& folder);
ClusteringTask load_clustering(const std::filesystem::path& folder);
SimilarityTask load_similarity(const std::filesystem::path& folder);

/// ndcg@10, mrr@10 and recall@100 of rankings, one a query, in any order.
TaskReport score_retrieval(const RetrievalTask& task, const std::vector<Ranking>& rankings);

/// An aligned table for people: a row a task, or as Markdown.
std::string table(const std::vector<TaskReport>& reports);
/// The reports as one JSON text.
std::string to_json(const std::vector<TaskReport>& reports);

}  // namespace decovec
