// quickstart_table: one table of what each stage of a recipe gained, beside BM25 and the untrained model.
//
//     quickstart_table recipes/quickstart.toml build/quickstart/data/test
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include <decovec/eval/tasks.hpp>
#include <decovec/model/embedder.hpp>
#include <decovec/train/recipe.hpp>

namespace {

namespace fs = std::filesystem;

struct Column {
  std::string title, kind, metric;
};

const std::vector<Column> kColumns = {
    {"nDCG@10", "retrieval", "ndcg@10"},       {"MRR@10", "retrieval", "mrr@10"},
    {"recall@100", "retrieval", "recall@100"}, {"accuracy", "classification", "accuracy"},
    {"V-measure", "clustering", "v_measure"},  {"Spearman", "similarity", "spearman"}};

struct Row {
  std::string name;
  std::map<std::string, double> values;  // by column title; what was not measured is absent
};

Row make_row(const std::string& name, const std::vector<decovec::TaskReport>& reports) {
  Row row{.name = name, .values = {}};
  for (const decovec::TaskReport& report : reports)
    for (const auto& [metric, value] : report.metrics)
      for (const Column& column : kColumns)
        if (column.kind == report.kind && column.metric == metric) row.values[column.title] = value;
  return row;
}

std::vector<fs::path> task_folders(const fs::path& folder) {
  std::vector<fs::path> tasks;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.is_directory()) tasks.push_back(entry.path());
  std::sort(tasks.begin(), tasks.end());
  if (tasks.empty()) throw std::runtime_error(folder.string() + ": expected task folders in it, got none");
  return tasks;
}

Row bm25_row(const std::vector<fs::path>& tasks) {
  std::vector<decovec::TaskReport> reports;
  for (const fs::path& folder : tasks) {
    if (!fs::exists(folder / "corpus.jsonl")) continue;
    const decovec::RetrievalTask task = decovec::load_retrieval(folder);
    reports.push_back(decovec::score_retrieval(task, decovec::bm25_rankings(task)));
  }
  return make_row("BM25", reports);
}

Row model_row(const std::string& name, const decovec::Embedder& model, const std::vector<fs::path>& tasks) {
  std::vector<decovec::TaskReport> reports;
  for (const fs::path& folder : tasks)
    reports.push_back(decovec::evaluate(model, folder, {.encode = {.truncate = decovec::Truncate::right}}));
  return make_row(name, reports);
}

std::string markdown(const std::vector<Row>& rows) {
  std::string text = fmt::format("| {:<28} |", "");
  std::string rule = fmt::format("|:{:-<29}|", "");
  for (const Column& column : kColumns) {
    text += fmt::format(" {:>10} |", column.title);
    rule += fmt::format("{:->11}:|", "");
  }
  text += "\n" + rule + "\n";
  for (const Row& row : rows) {
    text += fmt::format("| {:<28} |", row.name);
    for (const Column& column : kColumns) {
      const auto value = row.values.find(column.title);
      text += value == row.values.end() ? fmt::format(" {:>10} |", "-")
                                        : fmt::format(" {:>10.1f} |", 100 * value->second);
    }
    text += "\n";
  }
  return text;
}

std::string json(const std::vector<Row>& rows) {
  nlohmann::ordered_json lines = nlohmann::ordered_json::array();
  for (const Row& row : rows) {
    nlohmann::ordered_json line = {{"row", row.name}};
    for (const Column& column : kColumns)
      if (row.values.contains(column.title)) line[column.title] = row.values.at(column.title);
    lines.push_back(std::move(line));
  }
  return lines.dump(2) + "\n";
}

void write(const fs::path& file, const std::string& text) {
  if (file.empty()) return;
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  if (!out)
    throw std::runtime_error(file.string() +
                             ": cannot be written; is the disk full or the folder read-only?");
}

struct Arguments {
  fs::path recipe, tasks, markdown, json;
  std::vector<std::string> overrides;
};

void run(const Arguments& arguments) {
  const decovec::Recipe recipe = decovec::Recipe::load(arguments.recipe, arguments.overrides);
  const std::vector<fs::path> tasks = task_folders(arguments.tasks);
  std::vector<Row> rows;
  const auto add = [&](const std::function<Row()>& make) {
    const auto start = std::chrono::steady_clock::now();
    rows.push_back(make());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    fmt::print(stderr, "measured {}: {:.0f} s\n", rows.back().name, seconds.count());
  };
  add([&] { return bm25_row(tasks); });
  add([&] { return model_row("untrained", decovec::starting_model(recipe), tasks); });
  for (const decovec::StageRecipe& stage : recipe.stages) {
    const bool last = &stage == &recipe.stages.back();
    const fs::path folder = stage.output.empty() && last ? recipe.output : stage.output;
    if (folder.empty()) continue;  // the recipe does not keep this stage's model
    add([&] { return model_row("after " + stage.name, decovec::Embedder::load(folder), tasks); });
  }
  fmt::print("{}", markdown(rows));
  write(arguments.markdown, markdown(rows));
  write(arguments.json, json(rows));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Measures a recipe's stages on held-out tasks, beside BM25 and the untrained model");
  Arguments arguments;
  app.add_option("RECIPE", arguments.recipe, "The recipe that was trained")->required();
  app.add_option("TASKS", arguments.tasks, "Folder of task folders")->required();
  app.add_option("--set", arguments.overrides, "key=value of the recipe, as it was trained");
  app.add_option("--markdown", arguments.markdown, "Also write the table here");
  app.add_option("--json", arguments.json, "Also write the figures here");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  try {
    run(arguments);
  } catch (const std::exception& error) {
    fmt::print(stderr, "quickstart_table: {}\n", error.what());
    return 1;
  }
}
