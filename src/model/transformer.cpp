#include "decovec/model/transformer.hpp"

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "model/attention.hpp"
#include "model/layer_checkpoint.hpp"
#include "model/low_rank.hpp"
#include "model/ops.hpp"
#include "model/packed_layout.hpp"

namespace decovec {
namespace {

// The first dimensions of q and k [T, n, d] turned by their positions; the two halves of these pair up (not
// neighbouring entries).
at::Tensor rotate(const at::Tensor& x, const RotaryTable& table) {
  const int64_t half = table.cos.size(2), rest = x.size(2) - 2 * half;
  const at::Tensor first = x.narrow(2, 0, half), second = x.narrow(2, half, half);
  std::vector<at::Tensor> parts = {first * table.cos - second * table.sin,
                                   second * table.cos + first * table.sin};
  if (rest > 0) parts.push_back(x.narrow(2, 2 * half, rest));
  return at::cat(parts, 2);
}

at::Tensor norm(const at::Tensor& x, const at::Tensor& weight, const ModelConfig& config) {
  return rms_norm(x, weight, config.norm_epsilon, config.norm_offset);
}

at::Tensor self_attention(const at::Tensor& x, const TransformerLayer& layer, int64_t index,
                          const PackedLayout& layout, const ModelConfig& config) {
  const int64_t tokens = x.size(0), heads = config.heads, kv_heads = config.kv_heads;
  const std::optional<int64_t> window = window_of(config, index);
  const RotaryTable& table = window ? layout.sliding_rotary : layout.rotary;
  const auto dropout = [&](const char* linear) { return layout.dropout.adapter_input(index, linear); };
  const at::Tensor qkv =
      project(x, layer.qkv, dropout("qkv")).view({tokens, heads + 2 * kv_heads, config.head_dim});
  at::Tensor qk = qkv.narrow(1, 0, heads + kv_heads);
  if (config.qk_norm) {
    qk = at::cat({norm(qk.narrow(1, 0, heads), layer.q_norm, config),
                  norm(qk.narrow(1, heads, kv_heads), layer.k_norm, config)},
                 1);
  }
  qk = rotate(qk, table);
  const auto scalar = static_cast<double>(config.query_scalar.value_or(config.head_dim));
  const at::Tensor out = attention(qk.narrow(1, 0, heads), qk.narrow(1, heads, kv_heads),
                                   qkv.narrow(1, heads + kv_heads, kv_heads), layout,
                                   {.causal = config.attention == Attention::causal,
                                    .window = window,
                                    .scale = 1 / std::sqrt(scalar),
                                    .soft_cap = config.soft_cap});
  return project(out.reshape({tokens, heads * config.head_dim}), layer.attention_out,
                 dropout("attention_out"));
}

ActivationFunction function_of(Activation activation) {
  switch (activation) {
    case Activation::silu:
      return at::silu;
    case Activation::gelu:
      return [](const at::Tensor& x) { return at::gelu(x); };
    case Activation::gelu_tanh:
      return [](const at::Tensor& x) { return at::gelu(x, "tanh"); };
    case Activation::relu:
      return at::relu;
  }
  return nullptr;
}

at::Tensor feed_forward(const at::Tensor& x, const TransformerLayer& layer, int64_t index,
                        const PackedLayout& layout, const ModelConfig& config) {
  const auto dropout = [&](const char* linear) { return layout.dropout.adapter_input(index, linear); };
  const at::Tensor gate_up = project(x, layer.gate_up, dropout("gate_up"));
  const at::Tensor gate = gate_up.narrow(1, 0, config.intermediate_size);
  const at::Tensor up = gate_up.narrow(1, config.intermediate_size, config.intermediate_size);
  return project(gated(function_of(config.activation), gate, up), layer.down, dropout("down"));
}

void add_adapter(std::vector<Parameter>& list, const LowRank& adapter, const std::string& a,
                 const std::string& b, const std::string& module) {
  list.push_back({module + a, adapter.a});
  list.push_back({module + b, adapter.b});
  if (adapter.magnitude.defined()) list.push_back({module + ".lora_magnitude_vector", adapter.magnitude});
}

// A layer's weights under their names in checkpoints; q, k and v, gate and up are rows of one holder.
void add_layer(std::vector<Parameter>& list, const TransformerLayer& layer, const std::string& name,
               const ModelConfig& config) {
  const auto single = [&](const char* part, const at::Tensor& holder) {
    if (holder.defined()) list.push_back({name + part, holder});
  };
  const auto rows = [&](const std::string& module, const Linear& linear, int64_t first, int64_t count) {
    list.push_back({name + module + ".weight", linear.weight, first, count});
    if (linear.bias.defined()) list.push_back({name + module + ".bias", linear.bias, first, count});
    for (const LowRank& adapter : linear.adapters) {
      if (adapter.row == first) add_adapter(list, adapter, ".lora_A.weight", ".lora_B.weight", name + module);
    }
  };
  const auto whole = [&](const char* module, const Linear& linear) { rows(module, linear, 0, -1); };
  const int64_t q_rows = config.heads * config.head_dim, kv_rows = config.kv_heads * config.head_dim;
  const int64_t inner = config.intermediate_size;
  single("input_layernorm.weight", layer.attention_norm);
  if (config.fused_checkpoint) {
    whole("self_attn.qkv_proj", layer.qkv);
  } else {
    rows("self_attn.q_proj", layer.qkv, 0, q_rows);
    rows("self_attn.k_proj", layer.qkv, q_rows, kv_rows);
    rows("self_attn.v_proj", layer.qkv, q_rows + kv_rows, kv_rows);
  }
  single("self_attn.q_norm.weight", layer.q_norm);
  single("self_attn.k_norm.weight", layer.k_norm);
  whole("self_attn.o_proj", layer.attention_out);
  single("post_attention_layernorm.weight", config.post_norms ? layer.attention_post_norm : layer.mlp_norm);
  if (config.post_norms) single("pre_feedforward_layernorm.weight", layer.mlp_norm);
  if (config.fused_checkpoint) {
    whole("mlp.gate_up_proj", layer.gate_up);
  } else {
    rows("mlp.gate_proj", layer.gate_up, 0, inner);
    rows("mlp.up_proj", layer.gate_up, inner, inner);
  }
  whole("mlp.down_proj", layer.down);
  single("post_feedforward_layernorm.weight", layer.mlp_post_norm);
}

}  // namespace

at::Tensor run_layer(const at::Tensor& hidden, const TransformerLayer& layer, int64_t index,
                     const PackedLayout& layout, const ModelConfig& config) {
  at::Tensor change =
      self_attention(norm(hidden, layer.attention_norm, config), layer, index, layout, config);
  if (config.post_norms) change = norm(change, layer.attention_post_norm, config);
  const at::Tensor attended = hidden + drop(change, layout.dropout.hidden(index, "attention"));
  change = feed_forward(norm(attended, layer.mlp_norm, config), layer, index, layout, config);
  if (config.post_norms) change = norm(change, layer.mlp_post_norm, config);
  return attended + drop(change, layout.dropout.hidden(index, "feed_forward"));
}

Transformer empty_transformer(const ModelConfig& config, at::ScalarType dtype, at::Device device) {
  validate(config);
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const auto tensor = [&](at::IntArrayRef sizes, bool present = true) {
    return present ? at::empty(sizes, options) : at::Tensor();
  };
  const auto linear = [&](int64_t out, int64_t in, bool bias) {
    return Linear{.weight = tensor({out, in}), .bias = tensor({out}, bias)};
  };
  const int64_t hidden = config.hidden_size, inner = config.intermediate_size, head = config.head_dim;
  const int64_t qkv = (config.heads + 2 * config.kv_heads) * head;
  Transformer transformer{.config = config,
                          .embedding = tensor({config.vocab_size, hidden}),
                          .layers = {},
                          .norm = tensor({hidden})};
  for (int64_t i = 0; i < config.layers; ++i) {
    transformer.layers.push_back({
        .attention_norm = tensor({hidden}),
        .qkv = linear(qkv, hidden, config.qkv_bias),
        .q_norm = tensor({head}, config.qk_norm),
        .k_norm = tensor({head}, config.qk_norm),
        .attention_out = linear(hidden, config.heads * head, config.attention_out_bias),
        .attention_post_norm = tensor({hidden}, config.post_norms),
        .mlp_norm = tensor({hidden}),
        .gate_up = linear(2 * inner, hidden, config.mlp_bias),
        .down = linear(hidden, inner, config.mlp_bias),
        .mlp_post_norm = tensor({hidden}, config.post_norms),
    });
  }
  return transformer;
}

void initialise(Transformer& transformer, RandomKey key) {
  for (const Parameter& parameter : parameters(transformer)) {
    const std::vector<int64_t> shape = parameter.shape();
    if (parameter.name.ends_with(".bias")) {
      parameter.value().zero_();
    } else if (shape.size() == 1) {
      parameter.value().fill_(transformer.config.norm_offset ? 0.0 : 1.0);
    } else {
      parameter.value().copy_(random_normal(key.with(parameter.name), shape, 0.02));
    }
  }
}

std::vector<Parameter> parameters(const Transformer& transformer, const std::string& prefix) {
  std::vector<Parameter> list = {{prefix + "embed_tokens.weight", transformer.embedding}};
  if (transformer.embedding_adapter) {
    add_adapter(list, *transformer.embedding_adapter, ".lora_embedding_A", ".lora_embedding_B",
                prefix + "embed_tokens");
  }
  for (size_t i = 0; i < transformer.layers.size(); ++i) {
    add_layer(list, transformer.layers[i], fmt::format("{}layers.{}.", prefix, i), transformer.config);
  }
  list.push_back({prefix + "norm.weight", transformer.norm});
  return list;
}

at::Tensor forward(const Transformer& transformer, const TokenBatch& batch, const ForwardOptions& options) {
  return at_boundary("forward", [&] {
    validate(batch);
    const ModelConfig& config = transformer.config;
    const at::ScalarType dtype = compute_dtype(transformer.embedding);
    const auto layout = std::make_shared<PackedLayout>(lay_out(batch, config, dtype));
    layout->dropout = TokenDropout(options.dropout, batch);
    at::Tensor hidden = look_up(transformer.embedding, transformer.embedding_adapter, batch.ids, dtype);
    if (config.scale_embeddings) {
      const double scale = std::sqrt(static_cast<double>(config.hidden_size));
      hidden = hidden * at::scalar_tensor(scale, at::kDouble).to(dtype);
    }
    for (size_t i = 0; i < transformer.layers.size(); ++i) {
      const auto index = static_cast<int64_t>(i);
      hidden = options.gradient_checkpointing
                   ? checkpoint_layer(hidden, transformer.layers[i], index, layout, config)
                   : run_layer(hidden, transformer.layers[i], index, *layout, config);
    }
    return norm(hidden, transformer.norm, config);
  });
}

}  // namespace decovec
