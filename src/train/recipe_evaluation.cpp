// [[evaluation]] of a recipe.
#include "train/recipe_tables.hpp"

namespace decovec {

namespace fs = std::filesystem;

EvaluationRecipe read_evaluation(const toml::table& table, size_t index, const fs::path& folder) {
  TomlFields fields(table, label("evaluation", table, index));
  EvaluationRecipe evaluation;
  fields.name("name", evaluation.name);
  fields.path("task", evaluation.task, folder);
  fields.optional("query_prompt", evaluation.query_prompt,
                  [&](std::string& value) { fields.text("query_prompt", value); });
  if (evaluation.task.empty()) {
    if (fields.find("files") == nullptr) fields.wrong("task", "a task folder, or 'files'");
    evaluation.files = read_files(fields, folder);
    fields.text("document_prompt", evaluation.document_prompt);
    fields.flag("in_batch_negatives", evaluation.in_batch_negatives);
  } else if (!fs::is_directory(evaluation.task)) {
    fields.wrong("task",
                 fmt::format("a task folder; there is no {}", fs::absolute(evaluation.task).string()));
  }
  fields.finish();
  return evaluation;
}

}  // namespace decovec
