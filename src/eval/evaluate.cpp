#include <ATen/ATen.h>

#include "decovec/eval/tasks.hpp"
#include "eval/measure.hpp"
#include "eval/task_folder.hpp"
#include "io/error.hpp"

namespace decovec {
namespace {

constexpr const char* kDocumentPrompt = "document";

// Encodes the texts of one task.
class TaskEncoder {
 public:
  TaskEncoder(const Embedder& model, const EvaluateOptions& options, std::string task)
      : model_(model), options_(options), task_(std::move(task)) {}

  /// `prompt` is the name of the prompt to use where the model has it; the caller's own takes its place, save
  /// for documents. `what` are the texts, for progress and errors, `name` the text at an index.
  at::Tensor operator()(const std::vector<std::string>& texts, const std::string& prompt,
                        const std::string& what, const std::function<std::string(int64_t)>& name) const {
    EncodeOptions encode = options_.encode;
    const bool documents = prompt == kDocumentPrompt;
    if (documents) encode.prompt.reset();
    if (encode.prompt) {
      // given as text
    } else if (!documents && !options_.prompt_name.empty()) {
      encode.prompt = model_.prompt(options_.prompt_name);
    } else if (model_.prompts.contains(prompt)) {
      encode.prompt = model_.prompt(prompt);
    }
    if (options_.on_progress)
      encode.on_progress = [&](int64_t done, int64_t total) {
        options_.on_progress(fmt::format("{}: {}", task_, what), done, total);
      };
    try {
      return model_.encode(texts, encode);
    } catch (const TextError& error) {
      reject("{}: {}: {}", task_, name(error.text), error.reason);
    }
  }

  /// Texts of a file, one a line.
  at::Tensor lines(const std::vector<std::string>& texts, const std::string& file,
                   const std::string& field) const {
    return (*this)(texts, task_, field,
                   [&](int64_t i) { return fmt::format("{}:{}: '{}'", file, i + 1, field); });
  }

 private:
  const Embedder& model_;
  const EvaluateOptions& options_;
  std::string task_;
};

TaskReport retrieval(const TaskEncoder& encode, const RetrievalTask& task, int64_t top) {
  const auto named = [](const char* kind, const std::vector<std::string>& ids) {
    return [kind, &ids](int64_t i) { return fmt::format("{} '{}'", kind, ids[static_cast<size_t>(i)]); };
  };
  const at::Tensor queries = encode(task.queries, "query", "queries", named("query", task.query_ids));
  const at::Tensor documents =
      encode(task.documents, kDocumentPrompt, "documents", named("document", task.document_ids));
  return measure(task, queries, documents, top);
}

}  // namespace

TaskReport evaluate(const Embedder& model, const std::filesystem::path& task_folder,
                    const EvaluateOptions& options) {
  return at_boundary("evaluate", [&] {
    if (options.top < 100)
      reject("evaluate: top: expected 100 or more, which recall@100 needs, got {}", options.top);
    const TaskEncoder encode(model, options, task_name(task_folder));
    switch (task_kind(task_folder)) {
      case TaskKind::retrieval:
        return retrieval(encode, load_retrieval(task_folder), options.top);
      case TaskKind::classification: {
        const ClassificationTask task = load_classification(task_folder);
        const at::Tensor train = encode.lines(task.train, "train.jsonl", "text");
        return measure(task, train, encode.lines(task.test, "test.jsonl", "text"));
      }
      case TaskKind::clustering: {
        const ClusteringTask task = load_clustering(task_folder);
        return measure(task, encode.lines(task.texts, "test.jsonl", "text"));
      }
      case TaskKind::similarity: {
        const SimilarityTask task = load_similarity(task_folder);
        const at::Tensor first = encode.lines(task.first, "sts.jsonl", "sentence1");
        return measure(task, first, encode.lines(task.second, "sts.jsonl", "sentence2"));
      }
    }
    reject("evaluate: unknown kind of task");
  });
}

}  // namespace decovec
