#include "model/families.hpp"

#include "io/error.hpp"
#include "model/rope_keys.hpp"

namespace decovec {
namespace {

// What the config class of a family in transformers says where config.json does not; null kv_heads: as many
// as heads; null head_dim: hidden_size / heads.
struct Defaults {
  int64_t vocab_size, hidden_size, intermediate_size, layers, heads;
  std::optional<int64_t> kv_heads, head_dim;
  int64_t max_positions;
  double norm_epsilon = 1e-6;
};

// The keys that all families share.
void decoder(ConfigKeys& keys, ModelConfig& c, const Defaults& defaults) {
  keys.integer("vocab_size", c.vocab_size, defaults.vocab_size);
  keys.integer("hidden_size", c.hidden_size, defaults.hidden_size);
  keys.integer("intermediate_size", c.intermediate_size, defaults.intermediate_size);
  keys.integer("num_hidden_layers", c.layers, defaults.layers, 1, 10000);
  keys.integer("num_attention_heads", c.heads, defaults.heads);
  const bool null = keys.reading() && keys.from().raw().contains("num_key_value_heads");
  keys.integer("num_key_value_heads", c.kv_heads, null ? c.heads : defaults.kv_heads.value_or(c.heads));
  keys.integer("head_dim", c.head_dim, defaults.head_dim.value_or(c.hidden_size / c.heads));
  keys.number("rms_norm_eps", c.norm_epsilon, defaults.norm_epsilon);
  keys.integer("max_position_embeddings", c.max_positions, defaults.max_positions);
}

void biases(ConfigKeys& keys, ModelConfig& c) {
  keys.flag("attention_bias", c.qkv_bias, false);
  c.attention_out_bias = c.qkv_bias;
}

// ------------------------------------------------------------------------------------------ the families
// One function each, which reads and writes: `keys` moves values between config.json and fields, what the
// family always has is assigned.

void mistral(ConfigKeys& keys, ModelConfig& c) {
  decoder(keys, c, {32000, 4096, 14336, 32, 32, 8, {}, 131072});
  rope_keys(keys, c);
  keys.activation("hidden_act", c.activation, Activation::silu);
  keys.nullable("sliding_window", c.sliding_window, 4096);
}

// NV-Embed's backbone: Mistral-7B-v0.1 without mask and window. Its config may lack keys, then that model's
// values hold.
void bidirectional_mistral(ConfigKeys& keys, ModelConfig& c) {
  mistral(keys, c);
  keys.number("rms_norm_eps", c.norm_epsilon, 1e-5);
  c.sliding_window.reset();
}

void llama(ConfigKeys& keys, ModelConfig& c) {
  decoder(keys, c, {32000, 4096, 11008, 32, 32, {}, {}, 2048});
  rope_keys(keys, c);
  keys.activation("hidden_act", c.activation, Activation::silu);
  biases(keys, c);
  keys.flag("mlp_bias", c.mlp_bias, false);
}

void qwen_windows(ConfigKeys& keys, ModelConfig& c) {
  bool windowed = c.sliding_window.has_value();
  keys.flag("use_sliding_window", windowed, false);
  keys.nullable("sliding_window", c.sliding_window, 4096);
  if (!windowed) c.sliding_window.reset();
  int64_t full_layers = 0;
  while (full_layers < c.layers && !window_of(c, full_layers)) ++full_layers;
  keys.integer("max_window_layers", full_layers, 28, 0);
  keys.layer_types(c, [&](int64_t layer) { return layer >= full_layers; });
}

void qwen2(ConfigKeys& keys, ModelConfig& c) {
  decoder(keys, c, {151936, 4096, 22016, 32, 32, 32, {}, 32768});
  rope_keys(keys, c);
  keys.activation("hidden_act", c.activation, Activation::silu);
  c.qkv_bias = true;
  qwen_windows(keys, c);
}

void qwen3(ConfigKeys& keys, ModelConfig& c) {
  decoder(keys, c, {151936, 4096, 22016, 32, 32, 32, 128, 32768});
  rope_keys(keys, c);
  keys.activation("hidden_act", c.activation, Activation::silu);
  biases(keys, c);
  c.qk_norm = true;
  qwen_windows(keys, c);
}

void gemma(ConfigKeys& keys, ModelConfig& c) {
  decoder(keys, c, {256000, 3072, 24576, 28, 16, 16, 256, 8192});
  rope_keys(keys, c);
  // hidden_activation is the later key; under the earlier one, published files say gelu and mean tanh's.
  keys.activation("hidden_act", c.activation, Activation::gelu_tanh);
  keys.activation("hidden_activation", c.activation, c.activation);
  if (c.activation == Activation::gelu) c.activation = Activation::gelu_tanh;
  biases(keys, c);
  c.norm_offset = c.scale_embeddings = true;
}

// What Gemma2 and Gemma3 share. Every `period`-th layer sees the whole text, the others a window, which the
// file states `times` as wide.
void later_gemma(ConfigKeys& keys, ModelConfig& c, int64_t period, int64_t times) {
  keys.activation("hidden_activation", c.activation, Activation::gelu_tanh);
  biases(keys, c);
  c.norm_offset = c.scale_embeddings = c.post_norms = true;
  int64_t scalar = c.query_scalar.value_or(c.head_dim);
  keys.integer("query_pre_attn_scalar", scalar, 256);
  c.query_scalar = scalar == c.head_dim ? std::nullopt : std::optional(scalar);
  constexpr int64_t usual = 4096;  // transformers wants a number even where no layer has a window
  std::optional<int64_t> window = c.sliding_window ? *c.sliding_window * times : usual;
  keys.nullable("sliding_window", window, usual);
  if (keys.reading()) c.sliding_window = window ? std::optional(*window / times) : std::nullopt;
  keys.layer_types(c, [&](int64_t layer) { return (layer + 1) % period != 0; });
}

void gemma2(ConfigKeys& keys, ModelConfig& c) {
  decoder(keys, c, {256000, 2304, 9216, 26, 8, 4, 256, 8192});
  rope_keys(keys, c);
  keys.nullable("attn_logit_softcapping", c.soft_cap, 50);
  later_gemma(keys, c, 2, 1);
}

void gemma3(ConfigKeys& keys, ModelConfig& c) {
  decoder(keys, c, {262208, 2304, 9216, 26, 8, 4, 256, 131072});
  rope_keys(keys, c, {.theta = 1e6, .sliding_theta = 1e4});
  c.qk_norm = true;
  // With this flag, the file's window is that of both sides together.
  bool both_sides = c.attention == Attention::bidirectional;
  keys.flag("use_bidirectional_attention", both_sides, false);
  both_sides = both_sides && c.attention == Attention::bidirectional;
  int64_t period = 6;
  if (keys.reading()) {
    const bool underscored = keys.from().has("_sliding_window_pattern");
    keys.integer(underscored ? "_sliding_window_pattern" : "sliding_window_pattern", period, period);
  }
  later_gemma(keys, c, period, both_sides ? 2 : 1);
}

void phi3(ConfigKeys& keys, ModelConfig& c) {
  decoder(keys, c, {32064, 3072, 8192, 32, 32, {}, {}, 4096, 1e-5});
  rope_keys(keys, c, {.original_positions = 4096, .partial = true, .always_longrope = true});
  keys.activation("hidden_act", c.activation, Activation::silu);
  c.fused_checkpoint = true;
  keys.nullable("sliding_window", c.sliding_window, std::nullopt);
}

// ---------------------------------------------------------------------------------------------- the table

constexpr Family kFamilies[] = {
    {"mistral", "mistral", "MistralModel", mistral},
    {"llama", "llama", "LlamaModel", llama},
    {"qwen2", "qwen2", "Qwen2Model", qwen2},
    {"qwen3", "qwen3", "Qwen3Model", qwen3},
    {"gemma", "gemma", "GemmaModel", gemma},
    {"gemma2", "gemma2", "Gemma2Model", gemma2},
    {"gemma3_text", "gemma3_text", "Gemma3TextModel", gemma3},
    {"phi3", "phi3", "Phi3Model", phi3},
    {"bidir_mistral", "mistral", "MistralModel", bidirectional_mistral},
    {"llama_bidirec", "llama", "LlamaModel", llama},
};

}  // namespace

const Family& find_family(std::string_view model_type, const std::string& where) {
  std::string known;
  for (const Family& family : kFamilies) {
    if (family.model_type == model_type) return family;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", family.model_type);
  }
  fail("{}: 'model_type': '{}' is not supported; expected {}, gemma3 or nvembed", where, model_type, known);
}

const Family* find_family_of_class(std::string_view name) {
  for (const Family& family : kFamilies) {
    const std::string_view stem = family.architecture.substr(0, family.architecture.rfind("Model"));
    if (name == family.architecture || name == fmt::format("{}ForCausalLM", stem)) return &family;
  }
  return nullptr;
}

}  // namespace decovec
