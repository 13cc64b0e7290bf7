#include "model/families.hpp"

#include "io/error.hpp"

namespace decovec {
namespace {

// The keys that all families share, with transformers' class defaults of the Mistral family where a key may
// be absent.
ModelConfig common_fields(const JsonObject& config) {
  ModelConfig fields;
  fields.vocab_size = config.integer_or("vocab_size", 32000, 1);
  fields.hidden_size = config.integer_or("hidden_size", 4096, 1);
  fields.intermediate_size = config.integer_or("intermediate_size", 14336, 1);
  fields.layers = config.integer_or("num_hidden_layers", 32, 1, 10000);
  fields.heads = config.integer_or("num_attention_heads", 32, 1);
  // null means as many as heads; the class default of a missing key is 8.
  const bool no_groups = config.raw().contains("num_key_value_heads") && !config.has("num_key_value_heads");
  fields.kv_heads = no_groups ? fields.heads : config.integer_or("num_key_value_heads", 8, 1);
  fields.head_dim = config.integer_or("head_dim", fields.hidden_size / fields.heads, 1);
  fields.norm_epsilon = config.number("rms_norm_eps", 1e-6);
  fields.max_positions = config.integer_or("max_position_embeddings", 131072, 1);
  if (config.has("dtype")) {
    fields.dtype = dtype_from_name(config.string("dtype"), config.where() + ": 'dtype'");
  } else if (config.has("torch_dtype")) {
    fields.dtype = dtype_from_name(config.string("torch_dtype"), config.where() + ": 'torch_dtype'");
  }
  return fields;
}

// transformers 5 writes rope_parameters; 4 wrote rope_theta and rope_scaling.
void read_rope(const JsonObject& config, ModelConfig& fields) {
  fields.rope_theta = config.number("rope_theta", 1e4);
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (!config.has(key)) continue;
    const JsonObject rope = config.object(key);
    const std::string type = rope.string(rope.has("rope_type") ? "rope_type" : "type", "default");
    if (type != "default") {
      fail("{}: '{}': rope type '{}' is not supported; expected default", config.where(), key, type);
    }
    fields.rope_theta = rope.number("rope_theta", fields.rope_theta);
    break;
  }
}

ModelConfig mistral(const JsonObject& config) {
  ModelConfig fields = common_fields(config);
  read_rope(config, fields);
  const std::string activation = config.string("hidden_act", "silu");
  if (activation != "silu") {
    fail("{}: 'hidden_act': expected silu, got '{}', which is not supported", config.where(), activation);
  }
  // The class default is 4096 where the key is missing; null turns the window off.
  if (!config.raw().contains("sliding_window")) {
    fields.sliding_window = 4096;
  } else if (config.has("sliding_window")) {
    fields.sliding_window = config.integer("sliding_window", 1);
  }
  return fields;
}

// NV-Embed's backbone: Mistral-7B-v0.1 without mask and window. Its config may lack keys, then that model's
// values hold.
ModelConfig bidirectional_mistral(const JsonObject& config) {
  ModelConfig fields = mistral(config);
  fields.norm_epsilon = config.number("rms_norm_eps", 1e-5);
  fields.sliding_window.reset();
  fields.attention = Attention::bidirectional;
  return fields;
}

struct Family {
  std::string_view model_type;
  ModelConfig (*read)(const JsonObject&);
};

constexpr Family kFamilies[] = {
    {"mistral", mistral},
    {"bidir_mistral", bidirectional_mistral},
};

}  // namespace

ModelConfig read_model_config(const JsonObject& config, std::optional<Attention> given) {
  const std::string model_type = config.string("model_type");
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.model_type != model_type) {
      known += fmt::format("{}{}", known.empty() ? "" : ", ", family.model_type);
      continue;
    }
    ModelConfig fields = family.read(config);
    if (given) {
      fields.attention = *given;
    } else if (config.has("is_causal")) {
      fields.attention = config.boolean("is_causal", true) ? Attention::causal : Attention::bidirectional;
    } else if (config.has("auto_map")) {
      fail(
          "{}: 'auto_map': the folder relies on remote code that decovec does not know and that may change "
          "the mask; "
          "say --attention causal or --attention bidirectional (LoadOptions::attention)",
          config.where());
    }
    try {
      validate(fields);
    } catch (const std::invalid_argument& error) {
      fail("{}: {}", config.where(), error.what());
    }
    return fields;
  }
  fail("{}: 'model_type': '{}' is not supported; expected {}", config.where(), model_type, known);
}

OrderedJson write_model_config(const ModelConfig& config, at::ScalarType dtype) {
  const OrderedJson window = config.sliding_window ? OrderedJson(*config.sliding_window) : OrderedJson();
  return {
      {"architectures", {"MistralModel"}},
      {"attention_dropout", 0.0},
      {"dtype", dtype_name(dtype)},
      {"head_dim", config.head_dim},
      {"hidden_act", "silu"},
      {"hidden_size", config.hidden_size},
      {"intermediate_size", config.intermediate_size},
      {"is_causal", config.attention == Attention::causal},
      {"max_position_embeddings", config.max_positions},
      {"model_type", config.family},
      {"num_attention_heads", config.heads},
      {"num_hidden_layers", config.layers},
      {"num_key_value_heads", config.kv_heads},
      {"rms_norm_eps", config.norm_epsilon},
      {"rope_parameters", {{"rope_theta", config.rope_theta}, {"rope_type", "default"}}},
      {"rope_theta", config.rope_theta},
      {"sliding_window", window},
      {"tie_word_embeddings", false},
      {"torch_dtype", dtype_name(dtype)},
      {"vocab_size", config.vocab_size},
  };
}

at::ScalarType dtype_from_name(std::string_view name, std::string_view where) {
  if (name == "float32") return at::kFloat;
  if (name == "bfloat16") return at::kBFloat16;
  if (name == "float16") return at::kHalf;
  fail("{}: expected float32, bfloat16 or float16, got '{}'", where, name);
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
