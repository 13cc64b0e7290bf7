#include <ATen/ATen.h>

#include "decovec/eval/tasks.hpp"
#include "eval/measure.hpp"
#include "eval/task_folder.hpp"
#include "io/error.hpp"

namespace decovec {
namespace {

constexpr const char* kQueryPrompt = "query";
constexpr const char* kDocumentPrompt = "document";

// Encodes the texts of one task.
class TaskEncoder {
 public:
  TaskEncoder(const Embedder& model, const EvaluateOptions& options, std::string task)
      : model_(model), options_(options), task_(std::move(task)) {}

  /// What is put before texts: the model's prompt of a name where it has one, else its default. The caller's
  /// own takes its place, save for documents.
  std::string instruction(const std::string& prompt) const {
    const bool documents = prompt == kDocumentPrompt;
    if (!documents && options_.encode.prompt) return *options_.encode.prompt;
    if (!documents && !options_.prompt_name.empty()) return model_.prompt(options_.prompt_name);
    if (model_.prompts.contains(prompt)) return model_.prompt(prompt);
    return model_.default_instruction();
  }

  /// `prompt` as in `instruction`. `what` are the texts, for progress and errors, `name` the text at an
  /// index.
  at::Tensor operator()(const std::vector<std::string>& texts, const std::string& prompt,
                        const std::string& what, const std::function<std::string(int64_t)>& name) const {
    EncodeOptions encode = options_.encode;
    encode.prompt = instruction(prompt);
    if (prompt == kDocumentPrompt) encode.suffix.clear();
    const auto total = static_cast<int64_t>(texts.size());
    const int64_t ranks = options_.world ? options_.world->size() : 1,
                  rank = ranks > 1 ? options_.world->rank() : 0;
    const int64_t begin = total * rank / ranks, end = total * (rank + 1) / ranks;
    if (options_.on_progress)
      encode.on_progress = [&](int64_t done, int64_t total) {
        options_.on_progress(fmt::format("{}: {}", task_, what), done, total);
      };
    try {
      model_.check_room(encode);
      at::Tensor rows = ranks == 1 ? model_.encode(texts, encode)
                                   : model_.encode({texts.begin() + begin, texts.begin() + end}, encode);
      if (ranks > 1) rows = options_.world->gather(rows.to(options_.world->device())).cpu();
      const at::Tensor finite = at::isfinite(rows).all(1);
      if (!finite.all().item<bool>())
        fail("{}: {}: the embedding is not finite; check the model's weights, or use float32", task_,
             name(finite.to(at::kInt).argmin().item<int64_t>()));
      return rows;
    } catch (const TextError& error) {
      reject("{}: {}: {}", task_, name(begin + error.text), error.reason);
    } catch (const std::invalid_argument& error) {
      reject("{}: {}: {}", task_, what, error.what());
    }
  }

  /// Texts of a file, one a line.
  at::Tensor lines(const std::vector<std::string>& texts, const std::string& file,
                   const std::string& field) const {
    return (*this)(texts, task_, fmt::format("{} {}", file, field),
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
  const at::Tensor queries = encode(task.queries, kQueryPrompt, "queries", named("query", task.query_ids));
  const at::Tensor documents =
      encode(task.documents, kDocumentPrompt, "documents", named("document", task.document_ids));
  return measure(task, queries, documents, top);
}

TaskReport measured(const TaskEncoder& encode, TaskKind kind, const std::filesystem::path& folder,
                    int64_t top) {
  switch (kind) {
    case TaskKind::retrieval:
      return retrieval(encode, load_retrieval(folder), top);
    case TaskKind::classification: {
      const ClassificationTask task = load_classification(folder);
      const at::Tensor train = encode.lines(task.train, "train.jsonl", "text");
      return measure(task, train, encode.lines(task.test, "test.jsonl", "text"));
    }
    case TaskKind::clustering: {
      const ClusteringTask task = load_clustering(folder);
      return measure(task, encode.lines(task.texts, "test.jsonl", "text"));
    }
    case TaskKind::similarity: {
      const SimilarityTask task = load_similarity(folder);
      const at::Tensor first = encode.lines(task.first, "sts.jsonl", "sentence1");
      return measure(task, first, encode.lines(task.second, "sts.jsonl", "sentence2"));
    }
  }
  reject("evaluate: unknown kind of task");
}

}  // namespace

TaskReport evaluate(const Embedder& model, const std::filesystem::path& task_folder,
                    const EvaluateOptions& options) {
  return at_boundary("evaluate", [&] {
    if (options.top < 100)
      reject("evaluate: top: expected 100 or more, which recall@100 needs, got {}", options.top);
    const std::string name = task_name(task_folder);
    const TaskKind kind = task_kind(task_folder);
    const TaskEncoder encode(model, options, name);
    TaskReport report = measured(encode, kind, task_folder, options.top);
    report.prompt = encode.instruction(kind == TaskKind::retrieval ? kQueryPrompt : name);
    return report;
  });
}

}  // namespace decovec
