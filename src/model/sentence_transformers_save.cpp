#include "io/error.hpp"
#include "io/json.hpp"
#include "model/folder.hpp"
#include "model/sentence_transformers_folder.hpp"
#include "model/sentence_transformers_names.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

OrderedJson module(size_t index, const std::string& path, const std::string& type) {
  return {{"idx", index},
          {"name", std::to_string(index)},
          {"path", path},
          {"type", "sentence_transformers.models." + type}};
}

// The flags, which every version reads, where they say it; they have an order of their own and no mode twice.
OrderedJson pooling_config(const Embedder& model) {
  OrderedJson config = {{"word_embedding_dimension", model.transformer.config.hidden_size}};
  std::vector<Pooling> by_flags;
  OrderedJson modes = OrderedJson::array(), flags = OrderedJson::object();
  for (const PoolingNames& names : kPoolingNames) {
    const bool set =
        std::find(model.pooling.begin(), model.pooling.end(), names.pooling) != model.pooling.end();
    if (set) by_flags.push_back(names.pooling);
    flags[names.flag] = set;
  }
  for (Pooling pooling : model.pooling)
    for (const PoolingNames& names : kPoolingNames)
      if (names.pooling == pooling) modes.push_back(names.mode);
  if (by_flags == model.pooling) {
    config.update(flags);
  } else {
    config["pooling_mode"] = std::move(modes);
  }
  config["include_prompt"] = model.rule.instruction == InstructionPooling::pooled;
  return config;
}

OrderedJson dense_config(const Dense& dense) {
  OrderedJson config = {
      {"in_features", dense.weight.size(1)},
      {"out_features", dense.weight.size(0)},
      {"bias", dense.bias.defined()},
      {"activation_function",
       (dense.activation == "Identity" ? "torch.nn.modules.linear." : "torch.nn.modules.activation.") +
           dense.activation}};
  if (dense.use_residual) config["use_residual"] = true;
  return config;
}

const Truncation* truncation_of(const Embedder& model) {
  return model.heads.empty() ? nullptr : std::get_if<Truncation>(&model.heads.back());
}

}  // namespace

void write_modules(const Embedder& model, const fs::path& folder) {
  OrderedJson modules = {module(0, "", "Transformer"), module(1, folder::kPooling, "Pooling")};
  fs::create_directory(folder / folder::kPooling);
  write_json(folder / folder::kPooling / folder::kConfig, pooling_config(model));
  for (size_t i = 0; i < model.heads.size(); ++i) {
    const Head& head = model.heads[i];
    if (const Dense* dense = std::get_if<Dense>(&head)) {
      const std::string path = dense_folder(i);
      fs::create_directory(folder / path);
      write_json(folder / path / folder::kConfig, dense_config(*dense));
      modules.push_back(module(i + 2, path, "Dense"));
    } else if (std::holds_alternative<Normalize>(head)) {
      const std::string path = fmt::format("{}_Normalize", i + 2);
      fs::create_directory(folder / path);
      modules.push_back(module(i + 2, path, "Normalize"));
    } else if (&head != &model.heads.back()) {
      reject("Embedder::save: heads: a Truncation is saved as the last one alone");
    }
  }
  write_json(folder / folder::kModules, modules);
}

void write_settings(const Embedder& model, const fs::path& folder) {
  OrderedJson prompts = OrderedJson::object();
  for (const auto& [name, text] : model.prompts) prompts[name] = text;
  OrderedJson settings = {{"prompts", std::move(prompts)},
                          {"default_prompt_name",
                           model.default_prompt.empty() ? OrderedJson() : OrderedJson(model.default_prompt)},
                          {"similarity_fn_name", model.similarity_fn}};
  const SequenceRule& rule = model.rule;
  const bool llm2vec = rule.instruction == InstructionPooling::llm2vec;
  if (llm2vec || !rule.before.empty() || !rule.after.empty()) {
    OrderedJson& own = settings[folder::kOwnSettings];
    own = {{"text_before", rule.before}, {"text_after", rule.after}};
    if (llm2vec) own["instruction_pooling"] = kLlm2VecPooling;
  }
  if (const Truncation* truncation = truncation_of(model)) settings["truncate_dim"] = truncation->dimensions;
  write_json(folder / folder::kPrompts, settings);
  write_json(folder / folder::kTransformerConfig,
             {{"max_seq_length", model.rule.max_length}, {"do_lower_case", false}});
}

}  // namespace decovec
