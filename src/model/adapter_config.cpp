#include "model/adapter_config.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json_keys.hpp"
#include "model/families.hpp"
#include "model/folder.hpp"

namespace decovec {
namespace {

constexpr int64_t kMostRank = int64_t{1} << 20;
constexpr std::array kBiases = {std::pair("none", AdapterBias::none), std::pair("all", AdapterBias::all),
                                std::pair("lora_only", AdapterBias::lora_only)};

// What read_adapter_config makes use of.
constexpr std::array kKnownKeys = {"peft_type",
                                   "task_type",
                                   "base_model_name_or_path",
                                   "r",
                                   "lora_alpha",
                                   "lora_dropout",
                                   "use_rslora",
                                   "use_dora",
                                   "target_modules",
                                   "exclude_modules",
                                   "layers_to_transform",
                                   "layers_pattern",
                                   "rank_pattern",
                                   "alpha_pattern",
                                   "modules_to_save",
                                   "bias",
                                   "init_lora_weights"};
// What tells how the adapter was made, or where it computed. PEFT sets fan_in_fan_out back for linear maps.
constexpr std::array kHarmlessKeys = {
    "auto_mapping", "peft_version", "revision",     "inference_mode", "fan_in_fan_out", "megatron_core",
    "loftq_config", "eva_config",   "corda_config", "lora_ga_config", "runtime_config", "qalora_group_size"};

bool contains(const auto& list, const std::string& key) {
  return std::find(list.begin(), list.end(), key) != list.end();
}

// Any other key is of use to PEFT only where it says something.
void refuse_other_keys(const JsonObject& json) {
  for (const auto& [key, value] : json.raw().items()) {
    const bool says_nothing = value.is_null() || value == false || (value.is_structured() && value.empty());
    if (!contains(kKnownKeys, key) && !contains(kHarmlessKeys, key) && !says_nothing)
      fail("{}: '{}': {} is not supported", json.where(), key, shown(value));
  }
}

// Some starts move a part of the base's weights into the adapter, and PEFT moves it again when it loads.
void refuse_changed_base(const JsonObject& json) {
  if (!json.has("init_lora_weights")) return;
  const Json& start = json.raw().at("init_lora_weights");
  if (start.is_boolean() || start == "gaussian" || start == "eva" || start == "orthogonal" || start == "mica")
    return;
  fail(
      "{}: 'init_lora_weights': {} changes the base model's weights too, which is not supported; save the "
      "adapter as LoRA (PEFT: save_pretrained with path_initial_model_for_weight_conversion)",
      json.where(), shown(start));
}

std::vector<std::string> read_names(const JsonObject& json, const std::string& key) {
  std::vector<std::string> names;
  if (!json.has(key)) return names;
  const Json& list = json.raw().at(key);
  if (!list.is_array()) fail("{}: '{}': expected a list of names, got {}", json.where(), key, shown(list));
  for (const Json& name : list) {
    if (!name.is_string() || name.get_ref<const std::string&>().empty())
      fail("{}: '{}': expected names, got {}", json.where(), key, shown(name));
    names.push_back(name.get<std::string>());
  }
  return names;
}

ModuleNames read_modules(const JsonObject& json, const std::string& key) {
  if (json.has(key) && json.raw().at(key).is_string()) return {.names = {}, .pattern = json.string(key)};
  return {.names = read_names(json, key), .pattern = ""};
}

// Names that PEFT would take as part of a regular expression.
std::vector<std::string> read_plain_names(const JsonObject& json, const std::string& key) {
  std::vector<std::string> names;
  if (json.has(key) && json.raw().at(key).is_string()) {
    names = {json.string(key)};
  } else {
    names = read_names(json, key);
  }
  for (const std::string& name : names) {
    const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '_' || c == '.';
    });
    if (!plain) fail("{}: '{}': expected names of modules, got '{}'", json.where(), key, name);
  }
  return names;
}

std::vector<int64_t> read_layers(const JsonObject& json) {
  const std::string key = "layers_to_transform";
  std::vector<int64_t> layers;
  if (!json.has(key)) return layers;
  const Json& stated = json.raw().at(key);
  for (const Json& layer : stated.is_array() ? stated : Json::array({stated})) {
    if (!layer.is_number_unsigned() || layer.get<uint64_t>() > (uint64_t{1} << 32))
      fail("{}: '{}': expected numbers of layers, got {}", json.where(), key, shown(stated));
    layers.push_back(layer.get<int64_t>());
  }
  return layers;
}

// The first pattern that matches counts, so the file's order does: `ordered` is the whole file in it.
template <class Value, class Read>
std::vector<std::pair<std::string, Value>> read_patterns(const JsonObject& json, const OrderedJson& ordered,
                                                         const std::string& key, Read&& read) {
  std::vector<std::pair<std::string, Value>> patterns;
  if (!json.has(key)) return patterns;
  const JsonObject values = json.object(key);
  for (const auto& entry : ordered.at(key).items())
    patterns.push_back({entry.key(), read(values, entry.key())});
  return patterns;
}

AdapterBias read_bias(const JsonObject& json) {
  const std::string stated = json.string("bias", "none");
  for (const auto& [name, bias] : kBiases)
    if (stated == name) return bias;
  fail("{}: 'bias': expected none, all or lora_only, got '{}'", json.where(), stated);
}

double alpha(const JsonObject& json, const std::string& key) {
  const double number = json.number(key);
  if (!(std::abs(number) <= std::numeric_limits<float>::max()))
    fail("{}: '{}': expected a number that float32 can hold, got {}", json.where(), key, number);
  return number;
}

OrderedJson names_or_null(const std::vector<std::string>& names) {
  return names.empty() ? OrderedJson() : OrderedJson(names);
}

OrderedJson modules_or_null(const ModuleNames& modules) {
  return modules.pattern.empty() ? names_or_null(modules.names) : OrderedJson(modules.pattern);
}

}  // namespace

AdapterConfig read_adapter_config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / folder::kAdapterConfig;
  const std::string text = read_file(file);
  const JsonObject json(parse_json(text, file.string()), file.string());
  const OrderedJson ordered = OrderedJson::parse(text);
  if (const std::string type = json.string("peft_type"); type != "LORA")
    fail("{}: 'peft_type': '{}' is not supported; expected LORA", json.where(), type);
  refuse_other_keys(json);
  refuse_changed_base(json);
  if (!json.has("target_modules"))
    fail("{}: 'target_modules': expected names, an expression or all-linear, got none", json.where());

  AdapterConfig config;
  config.base = read_path(json, "base_model_name_or_path").string();
  config.task = json.string("task_type", "");
  config.rank = json.integer("r", 1, kMostRank);
  config.alpha = alpha(json, "lora_alpha");
  config.dropout = json.number("lora_dropout", 0);
  config.rslora = json.boolean("use_rslora", false);
  config.dora = json.boolean("use_dora", false);
  config.targets = read_modules(json, "target_modules");
  config.excluded = read_modules(json, "exclude_modules");
  config.layers = read_layers(json);
  config.layers_pattern = read_plain_names(json, "layers_pattern");
  config.rank_pattern = read_patterns<int64_t>(
      json, ordered, "rank_pattern",
      [](const JsonObject& values, const std::string& key) { return values.integer(key, 1, kMostRank); });
  config.alpha_pattern = read_patterns<double>(json, ordered, "alpha_pattern", alpha);
  config.modules_to_save = read_plain_names(json, "modules_to_save");
  config.bias = read_bias(json);
  return config;
}

void refuse_other_family(const std::filesystem::path& folder, const std::string& family) {
  const JsonObject json = JsonObject::read(folder / folder::kAdapterConfig);
  if (!json.has("auto_mapping")) return;
  const JsonObject mapping = json.object("auto_mapping");
  const std::string library =
      mapping.string("parent_library", "");  // transformers.models.llama.modeling_llama
  const std::string name = mapping.string("base_model_class", "");  // LlamaModel
  constexpr std::string_view kModels = "transformers.models.";
  const std::string module = family.substr(0, family.find("_text"));
  const Family* of_class = find_family_of_class(name);
  const bool other_library =
      library.starts_with(kModels) && !library.substr(kModels.size()).starts_with(module + ".");
  const bool other_class = of_class != nullptr && of_class->written_as != family;
  if (other_library || other_class)
    fail(
        "{}: '{}' {}: the adapter was made on a model of that class, and the base is of the family {}; give "
        "the folder of the adapter's own base (--model or --base DIR, LoadOptions::base)",
        mapping.where(), name, library, family);
}

OrderedJson write_adapter_config(const AdapterConfig& config) {
  OrderedJson layers, lists = names_or_null(config.layers_pattern);
  OrderedJson ranks = OrderedJson::object(), alphas = OrderedJson::object();
  if (!config.layers.empty()) {
    layers = config.layers;
    // Without the name, PEFT finds no layers in a model whose paths begin with it.
    if (lists.is_null()) lists = {"layers"};
  }
  for (const auto& [pattern, rank] : config.rank_pattern) ranks[pattern] = rank;
  for (const auto& [pattern, alpha] : config.alpha_pattern) alphas[pattern] = alpha;
  const char* bias = "";
  for (const auto& [name, value] : kBiases)
    if (value == config.bias) bias = name;
  // Whole numbers are written as such: PEFT declares alpha an integer.
  const auto number = [](double value) {
    const bool whole = value == std::floor(value) && std::abs(value) < 0x1p53;
    return whole ? OrderedJson(static_cast<int64_t>(value)) : OrderedJson(value);
  };
  for (auto& entry : alphas.items()) entry.value() = number(entry.value().get<double>());
  return {{"alpha_pattern", alphas},
          {"base_model_name_or_path", config.base.empty() ? OrderedJson() : OrderedJson(config.base)},
          {"bias", bias},
          {"exclude_modules", modules_or_null(config.excluded)},
          {"fan_in_fan_out", false},
          {"inference_mode", true},
          {"init_lora_weights", true},
          {"layers_pattern", lists},
          {"layers_to_transform", layers},
          {"lora_alpha", number(config.alpha)},
          {"lora_dropout", config.dropout},
          {"modules_to_save", names_or_null(config.modules_to_save)},
          {"peft_type", "LORA"},
          {"r", config.rank},
          {"rank_pattern", ranks},
          {"target_modules", config.targets.pattern.empty() ? OrderedJson(config.targets.names)
                                                            : OrderedJson(config.targets.pattern)},
          {"task_type", config.task.empty() ? OrderedJson() : OrderedJson(config.task)},
          {"use_dora", config.dora},
          {"use_rslora", config.rslora}};
}

}  // namespace decovec
