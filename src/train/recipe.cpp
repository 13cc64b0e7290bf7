#include "decovec/train/recipe.hpp"

#include <algorithm>
#include <limits>
#include <set>

#include "io/file.hpp"
#include "train/outputs.hpp"
#include "train/recipe_tables.hpp"
#include "train/toml_overrides.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

constexpr int64_t max_integer = std::numeric_limits<int64_t>::max();

// The tables under `[[key]]`: none, or at least one.
std::vector<const toml::table*> tables(TomlFields& root, std::string_view key) {
  const toml::node* node = root.find(key);
  std::vector<const toml::table*> result;
  if (node == nullptr) return result;
  const std::string expected = fmt::format("one or more tables [[{}]]", key);
  if (!node->is_array() || node->as_array()->empty()) root.wrong(*node, key, expected);
  for (const toml::node& element : *node->as_array()) {
    if (!element.is_table()) root.wrong(element, key, expected);
    result.push_back(element.as_table());
  }
  return result;
}

Recipe read_recipe(const toml::table& table, const fs::path& folder) {
  TomlFields root(table, "");
  Recipe recipe;
  read_model(root, recipe, folder);
  read_starting_adapters(root, recipe, folder);
  root.path("output", recipe.output, folder);
  auto seed = static_cast<int64_t>(recipe.seed);
  root.integer("seed", seed, 0, max_integer);
  recipe.seed = static_cast<uint64_t>(seed);
  root.choice("dtype", recipe.dtype, {{"float32", at::kFloat}, {"bfloat16", at::kBFloat16}});
  root.integer("checkpoint_every", recipe.checkpoint_every, 0);
  root.integer("evaluate_every", recipe.evaluate_every, 0);
  root.text("best", recipe.best);
  root.flag("output_best", recipe.output_best);
  read_embedder(root, recipe);
  read_lora(root, recipe);

  const std::vector<const toml::table*> data = tables(root, "data"), stages = tables(root, "stage"),
                                        evaluations = tables(root, "evaluation");
  root.finish();
  if (data.empty()) root.wrong("data", "one or more tables [[data]]");
  if (stages.empty()) root.wrong("stage", "one or more tables [[stage]]");

  std::set<std::string> names;
  for (size_t i = 0; i < data.size(); ++i) {
    recipe.data.push_back(read_data(*data[i], i, folder));
    if (!names.insert(recipe.data[i].name).second) {
      TomlFields(*data[i], label("data set", *data[i], i)).wrong("name", "a name that no other data set has");
    }
  }
  names.clear();
  std::vector<fs::path> outputs;
  if (!recipe.output.empty()) outputs.push_back(recipe.output);
  for (size_t i = 0; i < stages.size(); ++i) {
    recipe.stages.push_back(read_stage(*stages[i], i, folder, recipe.data));
    const TomlFields fields(*stages[i], label("stage", *stages[i], i));
    if (!names.insert(recipe.stages[i].name).second) fields.wrong("name", "a name that no other stage has");
    const fs::path& output = recipe.stages[i].output;
    if (output.empty()) continue;
    if (std::any_of(outputs.begin(), outputs.end(), [&](const fs::path& o) { return overlap(o, output); })) {
      fields.wrong("output", "a folder apart from all others that the recipe writes");
    }
    outputs.push_back(output);
  }
  names.clear();
  for (size_t i = 0; i < evaluations.size(); ++i) {
    recipe.evaluations.push_back(read_evaluation(*evaluations[i], i, folder));
    if (!names.insert(recipe.evaluations[i].name).second)
      TomlFields(*evaluations[i], label("evaluation", *evaluations[i], i))
          .wrong("name", "a name that no other evaluation has");
  }
  if (recipe.evaluations.empty() && recipe.evaluate_every > 0)
    root.wrong("evaluate_every", "also a table [[evaluation]], which says what on");
  const auto is_of = [&](const EvaluationRecipe& evaluation) {
    return recipe.best.starts_with(evaluation.name + ".");
  };
  if (!recipe.best.empty() && std::none_of(recipe.evaluations.begin(), recipe.evaluations.end(), is_of))
    root.wrong("best", "the name of an [[evaluation]] and a figure of it (\"sts.spearman\")");
  if (recipe.output_best && recipe.best.empty()) root.wrong("best", "a figure, for output_best");
  if (recipe.new_model && !recipe.pooling) {
    fail("{}: model.new: expected a 'pooling' in [embedder], got none",
         place(*table.get("model")->as_table()->get("new")));
  }
  return recipe;
}

}  // namespace

Recipe Recipe::load(const fs::path& file, const std::vector<std::string>& overrides) {
  return at_boundary("Recipe::load", [&] {
    toml::table table = parse_toml(read_file(file), file.string());
    for (const std::string& override_text : overrides) apply_override(table, override_text);
    return read_recipe(table, file.parent_path());
  });
}

}  // namespace decovec
