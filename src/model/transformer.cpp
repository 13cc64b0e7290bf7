#include "decovec/model/transformer.hpp"

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "model/attention.hpp"
#include "model/layer_checkpoint.hpp"
#include "model/ops.hpp"
#include "model/packed_layout.hpp"

namespace decovec {
namespace {

// q and k [T, n, d] turned by their positions; the two halves of a head pair up (not neighbouring entries).
at::Tensor rotate(const at::Tensor& x, const PackedLayout& layout) {
  const int64_t half = x.size(2) / 2;
  const at::Tensor first = x.narrow(2, 0, half), second = x.narrow(2, half, half);
  return at::cat({first * layout.cos - second * layout.sin, second * layout.cos + first * layout.sin}, 2);
}

at::Tensor self_attention(const at::Tensor& x, const TransformerLayer& layer, const PackedLayout& layout,
                          const ModelConfig& config) {
  const int64_t tokens = x.size(0), heads = config.heads, kv_heads = config.kv_heads;
  const at::Tensor qkv = project(x, layer.qkv).view({tokens, heads + 2 * kv_heads, config.head_dim});
  const at::Tensor qk = rotate(qkv.narrow(1, 0, heads + kv_heads), layout);
  const at::Tensor out = attention(qk.narrow(1, 0, heads), qk.narrow(1, heads, kv_heads),
                                   qkv.narrow(1, heads + kv_heads, kv_heads), layout, config);
  return project(out.reshape({tokens, heads * config.head_dim}), layer.attention_out);
}

at::Tensor feed_forward(const at::Tensor& x, const TransformerLayer& layer, const ModelConfig& config) {
  const at::Tensor gate_up = project(x, layer.gate_up);
  const at::Tensor gate = gate_up.narrow(1, 0, config.intermediate_size);
  const at::Tensor up = gate_up.narrow(1, config.intermediate_size, config.intermediate_size);
  return project(gated(at::silu, gate, up), layer.down);
}

}  // namespace

at::Tensor run_layer(const at::Tensor& hidden, const TransformerLayer& layer, const PackedLayout& layout,
                     const ModelConfig& config) {
  const at::Tensor attended =
      hidden +
      self_attention(rms_norm(hidden, layer.attention_norm, config.norm_epsilon), layer, layout, config);
  return attended + feed_forward(rms_norm(attended, layer.mlp_norm, config.norm_epsilon), layer, config);
}

Transformer empty_transformer(const ModelConfig& config, at::ScalarType dtype, at::Device device) {
  validate(config);
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const int64_t hidden = config.hidden_size;
  Transformer transformer{.config = config,
                          .embedding = at::empty({config.vocab_size, hidden}, options),
                          .layers = {},
                          .norm = at::empty({hidden}, options)};
  for (int64_t i = 0; i < config.layers; ++i) {
    transformer.layers.push_back({
        .attention_norm = at::empty({hidden}, options),
        .qkv = at::empty({(config.heads + 2 * config.kv_heads) * config.head_dim, hidden}, options),
        .attention_out = at::empty({hidden, config.heads * config.head_dim}, options),
        .mlp_norm = at::empty({hidden}, options),
        .gate_up = at::empty({2 * config.intermediate_size, hidden}, options),
        .down = at::empty({hidden, config.intermediate_size}, options),
    });
  }
  return transformer;
}

void initialise(Transformer& transformer, RandomKey key) {
  for (const Parameter& parameter : parameters(transformer)) {
    const std::vector<int64_t> shape = parameter.shape();
    if (shape.size() == 1) {
      parameter.value().fill_(1.0);
    } else {
      parameter.value().copy_(random_normal(key.with(parameter.name), shape, 0.02));
    }
  }
}

std::vector<Parameter> parameters(const Transformer& transformer, const std::string& prefix) {
  const ModelConfig& config = transformer.config;
  const int64_t q_rows = config.heads * config.head_dim, kv_rows = config.kv_heads * config.head_dim;
  const int64_t inner = config.intermediate_size;
  std::vector<Parameter> list = {{prefix + "embed_tokens.weight", transformer.embedding}};
  for (size_t i = 0; i < transformer.layers.size(); ++i) {
    const TransformerLayer& layer = transformer.layers[i];
    const std::string name = fmt::format("{}layers.{}.", prefix, i);
    list.push_back({name + "input_layernorm.weight", layer.attention_norm});
    list.push_back({name + "self_attn.q_proj.weight", layer.qkv, 0, q_rows});
    list.push_back({name + "self_attn.k_proj.weight", layer.qkv, q_rows, kv_rows});
    list.push_back({name + "self_attn.v_proj.weight", layer.qkv, q_rows + kv_rows, kv_rows});
    list.push_back({name + "self_attn.o_proj.weight", layer.attention_out});
    list.push_back({name + "post_attention_layernorm.weight", layer.mlp_norm});
    list.push_back({name + "mlp.gate_proj.weight", layer.gate_up, 0, inner});
    list.push_back({name + "mlp.up_proj.weight", layer.gate_up, inner, inner});
    list.push_back({name + "mlp.down_proj.weight", layer.down});
  }
  list.push_back({prefix + "norm.weight", transformer.norm});
  return list;
}

at::Tensor forward(const Transformer& transformer, const TokenBatch& batch, const ForwardOptions& options) {
  return at_boundary("forward", [&] {
    validate(batch);
    const ModelConfig& config = transformer.config;
    const at::ScalarType dtype = compute_dtype(transformer.embedding);
    const auto layout = std::make_shared<const PackedLayout>(lay_out(batch, config, dtype));
    at::Tensor hidden = at::embedding(transformer.embedding, batch.ids).to(dtype);
    for (const TransformerLayer& layer : transformer.layers) {
      hidden = options.gradient_checkpointing ? checkpoint_layer(hidden, layer, layout, config)
                                              : run_layer(hidden, layer, *layout, config);
    }
    return rms_norm(hidden, transformer.norm, config.norm_epsilon);
  });
}

}  // namespace decovec
