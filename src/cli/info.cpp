#include "cli/options.hpp"
#include "cli/terminal.hpp"
#include "io/json.hpp"

namespace decovec::cli {
namespace {

struct Options {
  ModelOptions model;
  bool json = false;
};

std::string describe(const Normalize&) { return "Normalize"; }
std::string describe(const Dense& dense) {
  return fmt::format("Dense {} to {}, {}", dense.weight.size(1), dense.weight.size(0), dense.activation);
}
std::string describe(const Truncation& truncation) {
  return fmt::format("first {} columns", truncation.dimensions);
}

std::string describe(const Adapter& adapter) {
  const AdapterConfig& config = adapter.config;
  return fmt::format(
      "{} ({}{}, rank {}, alpha {:g}{})", adapter.folder.string(), config.rslora ? "rank-stabilised " : "",
      config.dora ? "DoRA" : "LoRA", config.rank, config.alpha,
      config.rank_pattern.empty() && config.alpha_pattern.empty() ? "" : ", others by pattern");
}

// What --dense can name.
std::vector<std::string> dense_folders(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().filename().string().find("_Dense") != std::string::npos)
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

OrderedJson head_names(const std::vector<Head>& heads) {
  OrderedJson names = OrderedJson::array();
  for (const Head& head : heads)
    names.push_back(std::visit([](const auto& one) { return describe(one); }, head));
  return names;
}

OrderedJson facts(const Embedder& model, const ModelOptions& options) {
  const ModelConfig& config = model.transformer.config;
  int64_t parameters = 0;
  for (const Parameter& parameter : model.parameters()) parameters += parameter.value().numel();
  OrderedJson json;
  json["folder"] = options.folder.string();
  json["layout"] = name_of(model.layout);
  json["family"] = config.family;
  json["attention"] = name_of(config.attention);
  json["sliding_window"] = config.sliding_window ? OrderedJson(*config.sliding_window) : OrderedJson();
  json["pooling"] = name_of(model.pooling);
  if (model.latents) {
    json["latents"] = model.latents->config.latents;
    json["latent_heads"] = model.latents->config.heads;
  }
  json["modules"] = head_names(model.heads);
  if (const std::vector<std::string> others = dense_folders(options.folder); others.size() > 1)
    json["dense_folders"] = others;
  json["dimensions"] = model.dimensions();
  json["layers"] = config.layers;
  json["heads"] = config.heads;
  json["kv_heads"] = config.kv_heads;
  json["head_dim"] = config.head_dim;
  json["vocabulary"] = config.vocab_size;
  json["max_length"] = model.rule.max_length;
  json["bos"] = model.rule.bos;
  json["eos"] = name_of(model.rule.eos);
  json["instruction"] = name_of(model.rule.instruction);
  if (!model.rule.before.empty()) json["before_texts"] = model.rule.before;
  if (!model.rule.after.empty()) json["after_texts"] = model.rule.after;
  json["prompts"] = OrderedJson::object();
  for (const auto& [name, prompt] : model.prompts) json["prompts"][name] = prompt;
  json["similarity"] = model.similarity_fn;
  json["default_prompt"] = model.default_prompt.empty() ? OrderedJson() : OrderedJson(model.default_prompt);
  json["adapters"] = OrderedJson::array();
  for (const Adapter& adapter : model.adapters) json["adapters"].push_back(describe(adapter));
  json["parameters"] = parameters;
  json["dtype"] = name_of(model.dtype());
  json["device"] = model.device().str();
  return json;
}

std::string shown(const OrderedJson& value) {
  if (value.is_null()) return "none";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_array()) {
    const auto parts = value.get<std::vector<std::string>>();
    return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, "; "));
  }
  return value.is_string() ? value.get<std::string>() : value.dump();
}

int run(const Options& options) {
  const OrderedJson json = facts(load_model(options.model), options.model);
  if (options.json) {
    write_stdout(json.dump(2) + "\n");
    return 0;
  }
  std::string lines;
  for (const auto& [key, value] : json.items()) {
    if (key == "before_texts" || key == "after_texts") {
      lines += fmt::format("{:<16}{}\n", key, value.dump());  // line breaks in one line
    } else if (key != "prompts") {
      lines += fmt::format("{:<16}{}\n", key, shown(value));
    } else if (value.empty()) {
      lines += fmt::format("{:<16}none\n", key);
    } else {
      lines += "prompts\n";
      for (const auto& [name, prompt] : value.items())
        lines += fmt::format("  {:<14}{}\n", name, prompt.dump());
    }
  }
  write_stdout(lines);
  return 0;
}

}  // namespace

Run add_info(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("info", "Tell what a model folder is and how it is used");
  add_model_options(*command, options->model, true);
  command->add_flag("--json", options->json, "As JSON");
  command->footer(R"(
eos: 'kept' stands after every text, 'cut' is lost where a text is truncated. instruction: which of the
prompt's positions are pooled: all ('pooled'), or those after the prompt by NV-Embed's, sentence-transformers'
or LLM2Vec's count. modules: what follows the pooling.

Example:
  decovec info my-embedder)");
  return [options] { return run(*options); };
}

}  // namespace decovec::cli
