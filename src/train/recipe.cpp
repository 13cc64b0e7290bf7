#include "decovec/train/recipe.hpp"

#include <algorithm>
#include <limits>
#include <set>

#include "io/file.hpp"
#include "model/config_file.hpp"
#include "train/loss_table.hpp"
#include "train/outputs.hpp"
#include "train/toml_fields.hpp"
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

// What errors call a table: by its name, or by its number where it has none.
std::string label(std::string_view kind, const toml::table& table, size_t index) {
  const auto* name = table.get_as<std::string>("name");
  return name != nullptr ? fmt::format("{} '{}'", kind, name->get()) : fmt::format("{} {}", kind, index + 1);
}

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
  fields.positive("weight", data.weight);
  fields.flag("in_batch_negatives", data.in_batch_negatives);
  fields.integer("negatives", data.negatives, 0);
  fields.finish();
  return data;
}

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

StageRecipe read_stage(const toml::table& table, size_t index, const fs::path& folder,
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
  fields.integer("micro_batch_tokens", stage.micro_batch_tokens, 1, kMaxMicroBatchTokens);
  fields.flag("gradient_checkpointing", stage.gradient_checkpointing);
  fields.integer("steps", stage.steps, 1);
  fields.choice("optimizer", stage.optimizer, {{"adamw", Optimizer::adamw}, {"sgd", Optimizer::sgd}});
  fields.positive("learning_rate", stage.learning_rate);
  fields.integer("warmup_steps", stage.warmup_steps, 0);
  fields.choice(
      "schedule", stage.schedule,
      {{"linear", Schedule::linear}, {"cosine", Schedule::cosine}, {"constant", Schedule::constant}});
  fields.number("weight_decay", stage.weight_decay, 0);
  fields.number("clip", stage.clip, 0);
  fields.path("output", stage.output, folder);
  fields.finish();
  return stage;
}

NewModelRecipe read_new_model(const toml::table& table, const fs::path& folder) {
  TomlFields fields(table, "model.new");
  NewModelRecipe model;
  ModelConfig& config = model.config;
  fields.path("tokenizer", model.tokenizer, folder);
  if (model.tokenizer.empty()) fields.wrong("tokenizer", "a sentencepiece model file");
  fields.text("family", config.family);
  for (const auto& [key, size] : {std::pair{"hidden_size", &config.hidden_size},
                                  {"intermediate_size", &config.intermediate_size},
                                  {"layers", &config.layers},
                                  {"heads", &config.heads}}) {
    *size = 0;
    fields.integer(key, *size, 1);
    if (*size == 0) fields.wrong(key, "an integer of 1 or more");
  }
  config.kv_heads = config.heads;
  fields.integer("kv_heads", config.kv_heads, 1);
  config.head_dim = config.hidden_size / config.heads;
  fields.integer("head_dim", config.head_dim, 2);
  fields.positive("norm_epsilon", config.norm_epsilon);
  fields.positive("rope_theta", config.rope.theta);
  fields.optional("sliding_window", config.sliding_window,
                  [&](int64_t& value) { fields.integer("sliding_window", value, 1); });
  fields.integer("max_positions", config.max_positions, 1);
  fields.finish();
  // The rest is the family's, so the family reads what was given, under its own names.
  const std::optional<int64_t> window = config.sliding_window;
  const Json keys = {{"model_type", config.family},
                     {"vocab_size", config.vocab_size},
                     {"hidden_size", config.hidden_size},
                     {"intermediate_size", config.intermediate_size},
                     {"num_hidden_layers", config.layers},
                     {"num_attention_heads", config.heads},
                     {"num_key_value_heads", config.kv_heads},
                     {"head_dim", config.head_dim},
                     {"query_pre_attn_scalar", config.head_dim},
                     {"rms_norm_eps", config.norm_epsilon},
                     {"rope_theta", config.rope.theta},
                     {"use_sliding_window", window.has_value()},
                     {"sliding_window", window ? Json(*window) : Json()},
                     {"max_window_layers", 0},
                     {"max_position_embeddings", config.max_positions}};
  config = read_model_config({keys, place(table) + ": model.new"}, Attention::causal);
  return model;
}

void read_model(TomlFields& root, Recipe& recipe, const fs::path& folder) {
  const toml::node* node = root.find("model");
  if (node == nullptr) return;
  if (node->is_string()) return root.path("model", recipe.model, folder);
  const toml::table* model = node->as_table();
  const toml::table* new_model = model == nullptr ? nullptr : model->get_as<toml::table>("new");
  if (new_model == nullptr) root.wrong(*node, "model", "a folder, or a table [model.new]");
  TomlFields fields(*model, "model");
  fields.find("new");
  fields.finish();
  recipe.new_model = read_new_model(*new_model, folder);
}

void read_embedder(TomlFields& root, Recipe& recipe) {
  const toml::node* node = root.find("embedder");
  if (node == nullptr) return;
  if (!node->is_table()) root.wrong(*node, "embedder", "a table [embedder]");
  TomlFields fields(*node->as_table(), "embedder");
  fields.optional("attention", recipe.attention, [&](Attention& value) {
    fields.choice("attention", value,
                  {{"causal", Attention::causal}, {"bidirectional", Attention::bidirectional}});
  });
  fields.optional("pooling", recipe.pooling, [&](Pooling& value) {
    std::vector<std::pair<std::string_view, Pooling>> choices;
    for (Pooling pooling : all_poolings()) choices.emplace_back(name_of(pooling), pooling);
    fields.choice("pooling", value, choices);
  });
  fields.optional("eos", recipe.eos, [&](bool& value) { fields.flag("eos", value); });
  fields.integer("max_length", recipe.max_length, 0);
  fields.integer("latents", recipe.latent_attention.latents, 1);
  fields.integer("latent_heads", recipe.latent_attention.heads, 1);
  fields.integer("latent_head_dim", recipe.latent_attention.head_dim, 0);
  fields.integer("latent_dim", recipe.latent_attention.latent_dim, 0);
  fields.integer("latent_multiplier", recipe.latent_attention.multiplier, 1);
  fields.finish();
}

Recipe read_recipe(const toml::table& table, const fs::path& folder) {
  TomlFields root(table, "");
  Recipe recipe;
  read_model(root, recipe, folder);
  root.path("output", recipe.output, folder);
  auto seed = static_cast<int64_t>(recipe.seed);
  root.integer("seed", seed, 0, max_integer);
  recipe.seed = static_cast<uint64_t>(seed);
  root.choice("dtype", recipe.dtype, {{"float32", at::kFloat}, {"bfloat16", at::kBFloat16}});
  root.integer("checkpoint_every", recipe.checkpoint_every, 0);
  read_embedder(root, recipe);

  const std::vector<const toml::table*> data = tables(root, "data"), stages = tables(root, "stage");
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
