#include "model/config_file.hpp"

#include "io/error.hpp"
#include "model/families.hpp"

namespace decovec {
namespace {

constexpr const char* kSayAttention =
    "say --attention causal or --attention bidirectional (LoadOptions::attention)";

[[noreturn]] void fail_unknown_code(const JsonObject& config, const std::string& module) {
  fail(
      "{}: 'auto_map': the folder relies on remote code ({}.py) that decovec does not know and that may "
      "change "
      "the mask; {}",
      config.where(), module, kSayAttention);
}

Attention read_attention(const JsonObject& config, std::string_view model_type,
                         std::optional<Attention> known) {
  const bool stated = config.has("is_causal");
  const Attention by_flag = config.boolean("is_causal", true) ? Attention::causal : Attention::bidirectional;
  if (known && stated && by_flag != *known) {
    fail("{}: 'is_causal': {}, but the model's own code says otherwise; {}", config.where(),
         by_flag == Attention::causal, kSayAttention);
  }
  if (config.boolean("use_bidirectional_attention", false) && known != Attention::bidirectional) {
    if (model_type != "gemma3_text") {
      fail("{}: 'use_bidirectional_attention': transformers does not follow it in this family; {}",
           config.where(), kSayAttention);
    }
    if (by_flag == Attention::bidirectional) {
      fail("{}: 'is_causal' and 'use_bidirectional_attention': expected one of them; their windows differ",
           config.where());
    }
    return Attention::bidirectional;
  }
  if (stated) return by_flag;
  if (known) return *known;
  if (const std::string module = remote_module(config); !module.empty()) fail_unknown_code(config, module);
  return Attention::causal;
}

at::ScalarType read_dtype(const JsonObject& config, at::ScalarType fallback) {
  for (const char* key : {"dtype", "torch_dtype"}) {
    if (config.has(key))
      return dtype_from_name(config.string(key), fmt::format("{}: '{}'", config.where(), key));
  }
  return fallback;
}

}  // namespace

std::string remote_module(const JsonObject& config) {
  if (!config.has("auto_map")) return "";
  const JsonObject map = config.object("auto_map");
  std::string name;
  for (const char* key : {"AutoModel", "AutoModelForCausalLM"}) {
    if (name.empty()) name = map.string(key, "");
  }
  for (const auto& [key, value] : map.raw().items())
    if (name.empty() && key.starts_with("AutoModel")) name = map.string(key, "");
  if (name.empty()) return "";  // a tokenizer's or config's code
  if (const size_t repository = name.find("--"); repository != name.npos) name.erase(0, repository + 2);
  return name.substr(0, name.rfind('.'));
}

ModelConfig read_model_config(const JsonObject& config, std::optional<Attention> given,
                              std::optional<Attention> known) {
  const std::string model_type = config.string("model_type");
  if (model_type == "gemma3") {  // text and images
    // transformers reads the text model's own config; what these keys mean out here is nobody's to say.
    const auto belongs_inside = [&](const char* key) {
      fail("{}: '{}': expected it in 'text_config', whose model is loaded", config.where(), key);
    };
    if (config.has("quantization_config")) belongs_inside("quantization_config");
    if (!given) {
      if (config.has("is_causal")) belongs_inside("is_causal");
      if (config.boolean("use_bidirectional_attention", false)) belongs_inside("use_bidirectional_attention");
      if (const std::string module = remote_module(config); !module.empty() && !known)
        fail_unknown_code(config, module);
    }
    ModelConfig fields = read_model_config(config.object("text_config"), given, known);
    fields.dtype = read_dtype(config, fields.dtype);
    return fields;
  }
  const Family& family = find_family(model_type, config.where());
  if (config.has("quantization_config")) {
    fail("{}: 'quantization_config': quantised weights are not supported; load the original model",
         config.where());
  }
  ModelConfig fields;
  fields.family = family.written_as;
  fields.attention = given ? *given : read_attention(config, model_type, known);
  fields.dtype = read_dtype(config, at::kFloat);
  ConfigKeys keys(config);
  family.keys(keys, fields);
  try {
    validate(fields);
  } catch (const std::invalid_argument& error) {
    fail("{}: {}", config.where(), error.what());
  }
  return fields;
}

OrderedJson write_model_config(const ModelConfig& config, at::ScalarType dtype) {
  const Family& family = find_family(config.family, "ModelConfig::family");
  ModelConfig fields = config;
  fields.dtype = dtype;
  ConfigKeys keys;
  OrderedJson& json = keys.written();
  json = {{"architectures", {family.architecture}},
          {"model_type", family.model_type},
          {"attention_dropout", 0.0},
          {"dtype", dtype_name(dtype)},
          {"torch_dtype", dtype_name(dtype)},
          {"pad_token_id", nullptr},
          {"tie_word_embeddings", false}};
  ModelConfig copy = fields;
  family.keys(keys, copy);
  if (!json.contains("use_bidirectional_attention")) {
    json["is_causal"] = config.attention == Attention::causal;
  }
  if (read_model_config({Json(json), "config.json"}, std::nullopt) != fields) {
    reject("ModelConfig: a config.json of the family {} cannot say all of these fields", config.family);
  }
  return json;
}

at::ScalarType dtype_from_name(std::string_view name, std::string_view where) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  if (name == "float64") return at::kDouble;
  fail("{}: expected float32, bfloat16, float16 or float64, got '{}'", where, name);
}

std::string_view dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "float32";
    case at::kBFloat16:
      return "bfloat16";
    case at::kHalf:
      return "float16";
    case at::kDouble:
      return "float64";
    default:
      reject("dtype: expected a float type, got {}", at::toString(dtype));
  }
}

}  // namespace decovec
