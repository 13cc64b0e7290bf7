// model, [model.new], [embedder], adapters and [lora] of a recipe.
#include "model/config_file.hpp"
#include "train/recipe_tables.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

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

}  // namespace

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

void read_starting_adapters(TomlFields& root, Recipe& recipe, const fs::path& folder) {
  root.path("base", recipe.base, folder);
  std::vector<std::string> adapters;
  root.texts("adapters", adapters);
  for (const std::string& adapter : adapters)
    recipe.adapters.push_back((folder / adapter).lexically_normal());
  root.flag("merge_adapters", recipe.merge_adapters);
  root.flag("merge_output", recipe.merge_output);
  if (recipe.new_model && (!recipe.base.empty() || !recipe.adapters.empty() || !recipe.merge_adapters))
    root.wrong(recipe.base.empty() ? recipe.adapters.empty() ? "merge_adapters" : "adapters" : "base",
               "a model folder, rather than [model.new], that adapters belong to");
}

void read_lora(TomlFields& root, Recipe& recipe) {
  root.table("lora", recipe.lora, [](TomlFields& fields, AdapterConfig& lora) {
    // What most published embedders were tuned with, rather than PEFT's rank 8.
    lora.rank = 16;
    lora.alpha = 32;
    lora.targets.pattern = "all-linear";
    fields.integer("rank", lora.rank, 1, int64_t{1} << 20);
    fields.positive("alpha", lora.alpha);
    fields.share("dropout", lora.dropout);
    for (const auto& [key, modules] : {std::pair("targets", &lora.targets), {"excluded", &lora.excluded}}) {
      const toml::node* node = fields.find(key);
      if (node == nullptr) continue;
      *modules = {};
      if (node->is_string()) {
        fields.name(key, modules->pattern);
      } else {
        fields.texts(key, modules->names);
      }
    }
    fields.integers("layers", lora.layers, 0);
    fields.texts("modules_to_save", lora.modules_to_save);
    fields.flag("rslora", lora.rslora);
    fields.flag("dora", lora.dora);
  });
  if (recipe.lora && !recipe.merge_adapters)
    root.wrong("lora",
               "none beside merge_adapters = false, which trains the starting model's own adapter further");
  if (recipe.lora && recipe.new_model && !recipe.merge_output)
    root.wrong("lora", "merge_output = true beside [model.new], since no folder holds its weights");
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

}  // namespace decovec
