#include <charconv>
#include <unordered_map>
#include <unordered_set>

#include "decovec/eval/tasks.hpp"
#include "decovec/io/lines.hpp"
#include "eval/task_folder.hpp"
#include "io/error.hpp"
#include "io/json.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

// A JSONL file, an object a line; at least one.
void for_each_object(const fs::path& file, const std::function<void(const JsonObject& line)>& use) {
  int64_t lines = 0;
  for_each_line(file, [&](std::string_view line, int64_t number) {
    const std::string where = fmt::format("{}:{}", file.string(), number);
    use(JsonObject(parse_json(line, where), where));
    lines = number;
  });
  if (lines == 0) fail("{}: expected one line or more, got an empty file", file.string());
}

class UniqueIds {
 public:
  std::string take(const JsonObject& line) {
    std::string id = line.string("_id");
    if (!seen_.insert(id).second)
      fail("{}: '_id': {} stands in an earlier line too", line.where(), shown(id));
    return id;
  }

 private:
  std::unordered_set<std::string> seen_;
};

// Numbers labels from 0 as they appear.
class Labels {
 public:
  int64_t number(const JsonObject& line) {
    const Json label = line.has("label") ? line.raw().at("label") : Json();
    if (!label.is_string() && !label.is_number_integer())
      fail("{}: 'label': expected a string or an integer, got {}", line.where(), shown(label));
    const auto count = static_cast<int64_t>(numbers_.size());
    if (count > 0 && label.is_string() != numbers_.begin()->first.is_string())
      fail("{}: 'label': expected {}, as in the lines before, got {}", line.where(),
           label.is_string() ? "an integer" : "a string", shown(label));
    return numbers_.try_emplace(label, count).first->second;
  }
  size_t size() const { return numbers_.size(); }

 private:
  std::map<Json, int64_t> numbers_;
};

void read_labelled(const fs::path& file, Labels& labels, std::vector<std::string>& texts,
                   std::vector<int64_t>& numbers) {
  for_each_object(file, [&](const JsonObject& line) {
    texts.push_back(line.string("text"));
    numbers.push_back(labels.number(line));
  });
}

std::string stripped(const std::string& text) {
  constexpr const char* space = " \t\n\r\f\v";
  const size_t begin = text.find_first_not_of(space);
  return begin == text.npos ? std::string() : text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

void read_corpus(const fs::path& file, RetrievalTask& task) {
  UniqueIds ids;
  for_each_object(file, [&](const JsonObject& line) {
    task.document_ids.push_back(ids.take(line));
    const std::string title = line.string("title", ""), text = line.string("text");
    task.documents.push_back(title.empty() ? text : stripped(title + " " + text));
  });
}

// query id to judgements; `known` are the ids of queries that have a text.
std::unordered_map<std::string, Judgements> read_judgements(
    const fs::path& file, const std::unordered_map<std::string, std::string>& known) {
  constexpr std::string_view kHeader = "query-id\tcorpus-id\tscore";
  std::unordered_map<std::string, Judgements> judgements;
  int64_t lines = 0;
  for_each_line(file, [&](std::string_view line, int64_t number) {
    const std::string where = fmt::format("{}:{}", file.string(), number);
    lines = number;
    if (number == 1) {
      if (line != kHeader)
        fail("{}: expected the header 'query-id', 'corpus-id', 'score' with tabs between, got {}", where,
             shown(line));
      return;
    }
    const size_t first = line.find('\t'), second = first == line.npos ? first : line.find('\t', first + 1);
    if (second == line.npos || line.find('\t', second + 1) != line.npos)
      fail("{}: expected three fields with tabs between, got {}", where, shown(line));
    const std::string query(line.substr(0, first)), document(line.substr(first + 1, second - first - 1));
    const std::string_view score = line.substr(second + 1);
    int grade = 0;
    const auto [end, error] = std::from_chars(score.data(), score.data() + score.size(), grade);
    if (error != std::errc() || end != score.data() + score.size())
      fail("{}: 'score': expected an integer, got {}", where, shown(score));
    if (!known.contains(query)) fail("{}: 'query-id': {} is not in queries.jsonl", where, shown(query));
    if (!judgements[query].emplace(document, grade).second)
      fail("{}: 'corpus-id': {} was judged for {} before", where, shown(document), shown(query));
  });
  if (lines == 0) fail("{}: expected a header line, got an empty file", file.string());
  return judgements;
}

}  // namespace

std::string task_name(const fs::path& folder) {
  const fs::path path = fs::absolute(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

TaskKind task_kind(const fs::path& folder) {
  if (!fs::is_directory(folder)) fail("{}: expected a task folder; no such folder", folder.string());
  const auto has = [&](const char* file) { return fs::exists(folder / file); };
  const bool labelled = has("train.jsonl") || has("test.jsonl");
  if (has("corpus.jsonl") + has("sts.jsonl") + labelled > 1)
    fail(
        "{}: expected the files of one task, got more than one of corpus.jsonl, sts.jsonl and train or "
        "test.jsonl; "
        "give each task a folder of its own",
        folder.string());
  if (has("corpus.jsonl")) return TaskKind::retrieval;
  if (has("sts.jsonl")) return TaskKind::similarity;
  if (has("test.jsonl")) return has("train.jsonl") ? TaskKind::classification : TaskKind::clustering;
  fail(
      "{}: not a task folder, expected one of: corpus.jsonl, queries.jsonl and qrels/test.tsv (retrieval); "
      "sts.jsonl (similarity); train.jsonl and test.jsonl (classification); test.jsonl (clustering)",
      folder.string());
}

RetrievalTask load_retrieval(const fs::path& folder) {
  RetrievalTask task;
  task.name = task_name(folder);
  read_corpus(folder / "corpus.jsonl", task);
  UniqueIds ids;
  std::vector<std::string> query_ids;
  std::unordered_map<std::string, std::string> texts;
  for_each_object(folder / "queries.jsonl", [&](const JsonObject& line) {
    query_ids.push_back(ids.take(line));
    texts[query_ids.back()] = line.string("text");
  });
  const fs::path qrels = folder / "qrels" / "test.tsv";
  auto judgements = read_judgements(qrels, texts);
  for (const std::string& id : query_ids) {
    const auto judged = judgements.find(id);
    if (judged == judgements.end()) continue;
    const bool relevant = std::any_of(judged->second.begin(), judged->second.end(),
                                      [](const auto& judgement) { return judgement.second > 0; });
    if (!relevant) continue;
    task.query_ids.push_back(id);
    task.queries.push_back(std::move(texts[id]));
    task.judgements.push_back(std::move(judged->second));
  }
  if (task.queries.empty())
    fail("{}: expected a query with a relevant document (score above 0), got none", qrels.string());
  return task;
}

ClassificationTask load_classification(const fs::path& folder) {
  ClassificationTask task;
  task.name = task_name(folder);
  Labels labels;
  read_labelled(folder / "train.jsonl", labels, task.train, task.train_labels);
  if (labels.size() < 2)
    fail("{}: 'label': expected two different ones or more, got one", (folder / "train.jsonl").string());
  read_labelled(folder / "test.jsonl", labels, task.test, task.test_labels);
  return task;
}

ClusteringTask load_clustering(const fs::path& folder) {
  ClusteringTask task;
  task.name = task_name(folder);
  Labels labels;
  read_labelled(folder / "test.jsonl", labels, task.texts, task.labels);
  return task;
}

SimilarityTask load_similarity(const fs::path& folder) {
  SimilarityTask task;
  task.name = task_name(folder);
  for_each_object(folder / "sts.jsonl", [&](const JsonObject& line) {
    task.first.push_back(line.string("sentence1"));
    task.second.push_back(line.string("sentence2"));
    task.scores.push_back(line.number("score"));
  });
  return task;
}

}  // namespace decovec
