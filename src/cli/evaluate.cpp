#include <cmath>

#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "decovec/eval/tasks.hpp"
#include "io/error.hpp"
#include "io/file.hpp"

namespace decovec::cli {
namespace {

struct Options {
  ModelOptions model;
  TextOptions text;
  std::vector<std::filesystem::path> tasks;
  std::filesystem::path json;
};

int run(const Options& options) {
  for (const std::filesystem::path& task : options.tasks)  // before the hours, not after them
    if (!std::filesystem::is_directory(task))
      fail("{}: expected a task folder; no such folder", task.string());
  if (!options.json.empty()) {
    const std::filesystem::path folder = std::filesystem::absolute(options.json).parent_path();
    if (!std::filesystem::is_directory(folder))
      fail("--json {}: no folder {} to write it in", options.json.string(), folder.string());
    if (options.json == "-") reject("--json -: expected a file; standard output holds the table");
  }
  const Embedder model = load_model(options.model);

  Progress progress;
  EvaluateOptions evaluation;
  evaluation.encode = encode_options(options.text, model);
  evaluation.on_progress = [&](const std::string& what, int64_t done, int64_t total) {
    progress.count(what, done, total);
  };
  std::vector<TaskReport> reports;
  for (const std::filesystem::path& task : options.tasks)
    reports.push_back(evaluate(model, task, evaluation));
  progress.clear();
  for (const TaskReport& report : reports)
    for (const auto& [metric, figure] : report.metrics)
      if (std::isnan(figure))
        log_warning(fmt::format("{}: {} has no value; are all scores the same?", report.task, metric));
  write_stdout(table(reports));
  if (!options.json.empty()) {
    const InterruptGuard guard;
    write_file(options.json, to_json(reports) + "\n");
  }
  return 0;
}

}  // namespace

Run add_evaluate(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("evaluate", "Measure a model on task folders");
  add_model_options(*command, options->model);
  command->add_option("TASK_DIR", options->tasks, "Task folders")->required()->option_text("(required)");
  command->add_option("--json", options->json, "Also write the figures to FILE as JSON")
      ->check(not_empty("a file"))
      ->option_text("FILE");
  add_text_options(*command, options->text, "every text but retrieval's documents");
  command->footer(R"(
A task folder is told by its files:
  retrieval       corpus.jsonl, queries.jsonl, qrels/test.tsv (BEIR's)
  similarity      sts.jsonl {"sentence1", "sentence2", "score"}
  classification  train.jsonl and test.jsonl {"text", "label"}
  clustering      test.jsonl alone {"text", "label"}
Retrieval uses the model's prompts 'query' and 'document', other tasks the prompt of the task folder's name,
where the model has them; --prompt and --prompt-name take their place, save for retrieval's documents, which
get no --suffix either.

Example:
  decovec evaluate --model my-embedder tasks/retrieval tasks/similarity --json figures.json)");
  return [options] { return run(*options); };
}

}  // namespace decovec::cli
