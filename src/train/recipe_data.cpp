// [[data]] of a recipe.
#include "train/recipe_tables.hpp"

namespace decovec {

namespace fs = std::filesystem;

std::vector<fs::path> read_files(TomlFields& fields, const fs::path& folder) {
  std::vector<std::string> names;
  fields.texts("files", names);
  if (names.empty()) fields.wrong("files", "a list of one or more strings");
  std::vector<fs::path> files;
  for (size_t i = 0; i < names.size(); ++i) {
    const fs::path file = files.emplace_back((folder / names[i]).lexically_normal());
    if (!fs::is_regular_file(file)) {
      fields.wrong(*fields.find("files")->as_array()->get(i), "files",
                   fmt::format("files that exist; there is no {}", fs::absolute(file).string()));
    }
  }
  return files;
}

DataRecipe read_data(const toml::table& table, size_t index, const fs::path& folder) {
  TomlFields fields(table, label("data set", table, index));
  DataRecipe data;
  fields.name("name", data.name);
  if (data.name == "query" || data.name == "document") {
    fields.wrong("name", "another name than query and document, which the saved folder's prompts take");
  }
  data.files = read_files(fields, folder);
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
