// [[data]] of a recipe.
#include "train/recipe_tables.hpp"

namespace decovec {

namespace fs = std::filesystem;

DataRecipe read_data(const toml::table& table, size_t index, const fs::path& folder) {
  TomlFields fields(table, label("data set", table, index));
  DataRecipe data;
  fields.name("name", data.name);
  if (data.name == "query" || data.name == "document") {
    fields.wrong("name", "another name than query and document, which the saved folder's prompts take");
  }
  std::vector<std::string> files;
  fields.texts("files", files);
  if (files.empty()) fields.wrong("files", "a list of one or more strings");
  for (size_t i = 0; i < files.size(); ++i) {
    const fs::path file = (folder / files[i]).lexically_normal();
    if (!fs::is_regular_file(file)) {
      fields.wrong(*table.get_as<toml::array>("files")->get(i), "files",
                   fmt::format("files that exist; there is no {}", fs::absolute(file).string()));
    }
    data.files.push_back(file);
  }
  fields.text("query_prompt", data.query_prompt);
  fields.text("document_prompt", data.document_prompt);
  fields.choice("kind", data.kind,
                {{"retrieval", DataKind::retrieval},
                 {"classification", DataKind::classification},
                 {"clustering", DataKind::clustering},
                 {"sts", DataKind::sts}});
  fields.optional("threshold", data.threshold, [&](double& value) { fields.finite("threshold", value); });
  if (data.threshold && data.kind != DataKind::sts) fields.wrong("threshold", "one of kind = \"sts\" alone");
  fields.positive("weight", data.weight);
  fields.integer("max_examples", data.max_examples, 0);
  fields.flag("in_batch_negatives", data.in_batch_negatives);
  fields.integer("negatives", data.negatives, 0);
  fields.finish();
  return data;
}

}  // namespace decovec
