// [[stage]] of a recipe.
#include <algorithm>
#include <cmath>

#include "train/loss_table.hpp"
#include "train/recipe_tables.hpp"

namespace decovec {
namespace {

// The key 'data': some of `names`, each once.
std::vector<std::string> read_set_names(TomlFields& fields, const std::vector<std::string>& names) {
  std::vector<std::string> chosen;
  fields.texts("data", chosen);
  for (size_t i = 0; i < chosen.size(); ++i) {
    const auto before = chosen.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(names.begin(), names.end(), chosen[i]) == names.end() ||
        std::find(chosen.begin(), before, chosen[i]) != before) {
      fields.wrong(*fields.find("data")->as_array()->get(i), "data",
                   fmt::format("names of data sets ({}), each once", fmt::join(names, ", ")));
    }
  }
  return chosen;
}

// `loss`: a name beside its options, a table of these, or a list of such tables.
std::vector<LossRecipe> read_losses(TomlFields& stage, const std::string& where,
                                    const std::vector<std::string>& sets) {
  const toml::node* node = stage.find("loss");
  if (node == nullptr || (!node->is_table() && !node->is_array())) return {read_loss(stage, "loss")};
  const std::string expected = "a name, a table with a name, or a list of such tables";
  std::vector<LossRecipe> losses;
  const auto read = [&](const toml::node& element) {
    if (!element.is_table()) stage.wrong(element, "loss", expected);
    TomlFields fields(*element.as_table(), where + ": loss");
    if (fields.find("name") == nullptr) fields.wrong("name", "the name of a loss");
    LossRecipe& loss = losses.emplace_back(read_loss(fields, "name"));
    fields.positive("weight", loss.weight);
    loss.data = read_set_names(fields, sets);
    fields.finish();
  };
  if (node->is_table()) {
    read(*node);
  } else {
    if (node->as_array()->empty()) stage.wrong(*node, "loss", expected);
    for (const toml::node& element : *node->as_array()) read(element);
  }
  for (const std::string& set : sets) {
    const auto is_for_set = [&](const LossRecipe& loss) {
      return loss.data.empty() || std::find(loss.data.begin(), loss.data.end(), set) != loss.data.end();
    };
    if (std::none_of(losses.begin(), losses.end(), is_for_set))
      stage.wrong(*node, "loss", fmt::format("at least one for data set '{}'", set));
  }
  return losses;
}

void read_layer_decay(TomlFields& fields, double& decay) {
  fields.positive("layer_decay", decay);
  if (decay > 1) fields.wrong("layer_decay", "a number above 0, at most 1");
}

// The warm-up's length in steps, or as a share of the stage: as many steps as transformers makes of it.
void read_warmup(TomlFields& fields, StageRecipe& stage) {
  fields.integer("warmup_steps", stage.warmup_steps, 0);
  double ratio = 0;
  fields.share("warmup_ratio", ratio);
  if (ratio == 0) return;
  if (stage.warmup_steps > 0) fields.wrong("warmup_ratio", "none beside warmup_steps");
  stage.warmup_steps = static_cast<int64_t>(std::ceil(static_cast<double>(stage.steps) * ratio));
}

}  // namespace

StageRecipe read_stage(const toml::table& table, size_t index, const std::filesystem::path& folder,
                       const std::vector<DataRecipe>& data) {
  const std::string where = label("stage", table, index);
  TomlFields fields(table, where);
  StageRecipe stage;
  fields.name("name", stage.name);
  std::vector<std::string> names;
  for (const DataRecipe& set : data) names.push_back(set.name);
  stage.data = read_set_names(fields, names);
  stage.losses = read_losses(fields, where, stage.data.empty() ? names : stage.data);
  fields.integer("batch_size", stage.batch_size, 1, kMaxBatchSize);
  fields.fraction("homogeneous_ratio", stage.homogeneous_ratio);
  fields.fraction("size_exponent", stage.size_exponent);
  fields.integer("micro_batch_tokens", stage.micro_batch_tokens, 1, kMaxMicroBatchTokens);
  fields.flag("gradient_checkpointing", stage.gradient_checkpointing);
  fields.share("hidden_dropout", stage.hidden_dropout);
  fields.integer("steps", stage.steps, 1);
  fields.choice("optimizer", stage.optimizer, {{"adamw", Optimizer::adamw}, {"sgd", Optimizer::sgd}});
  fields.positive("learning_rate", stage.learning_rate);
  read_layer_decay(fields, stage.layer_decay);
  read_warmup(fields, stage);
  fields.choice(
      "schedule", stage.schedule,
      {{"linear", Schedule::linear}, {"cosine", Schedule::cosine}, {"constant", Schedule::constant}});
  fields.number("weight_decay", stage.weight_decay, 0);
  fields.number("clip", stage.clip, 0);
  fields.path("output", stage.output, folder);
  fields.finish();
  return stage;
}

}  // namespace decovec
