#include <cmath>

#include <ATen/ATen.h>

#include "decovec/model/pooling.hpp"
#include "io/error.hpp"
#include "model/ops.hpp"

namespace decovec {
namespace {

constexpr double kLayerNormEpsilon = 1e-5;  // torch.nn.LayerNorm's default, which the published model uses

}  // namespace

LatentAttention empty_latent_attention(const LatentAttentionConfig& config, int64_t hidden_size,
                                       at::ScalarType dtype, at::Device device) {
  for (int64_t size : {config.latents, config.heads, config.head_dim, config.latent_dim, config.multiplier}) {
    // The bound keeps products of sizes within 64 bits.
    if (size < 1 || size > int64_t{1} << 20) {
      reject("latent attention: sizes: expected 1 to {}, got {}", int64_t{1} << 20, size);
    }
  }
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  const int64_t attended = config.heads * config.head_dim, inner = config.multiplier * hidden_size;
  if (std::max(attended, inner) > int64_t{1} << 28) {
    reject(
        "latent attention: sizes: expected at most {} for heads x head_dim and multiplier x hidden_size, got "
        "{} "
        "and {}",
        int64_t{1} << 28, attended, inner);
  }
  return {.config = config,
          .latents = at::empty({config.latents, config.latent_dim}, options),
          .norm_weight = at::empty({hidden_size}, options),
          .norm_bias = at::empty({hidden_size}, options),
          .context_norm_weight = at::empty({config.latent_dim}, options),
          .context_norm_bias = at::empty({config.latent_dim}, options),
          .to_q = at::empty({attended, hidden_size}, options),
          .to_kv = at::empty({2 * attended, config.latent_dim}, options),
          .to_out = at::empty({hidden_size, attended}, options),
          .feed_norm_weight = at::empty({hidden_size}, options),
          .feed_norm_bias = at::empty({hidden_size}, options),
          .feed_in_weight = at::empty({2 * inner, hidden_size}, options),
          .feed_in_bias = at::empty({2 * inner}, options),
          .feed_out_weight = at::empty({hidden_size, inner}, options),
          .feed_out_bias = at::empty({hidden_size}, options)};
}

void initialise(LatentAttention& block, RandomKey key) {
  const auto linear_layer = [&](const char* name, at::Tensor weight, at::Tensor bias) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(weight.size(1)));
    const auto uniform = [&](const char* part, const std::vector<int64_t>& shape) {
      return random_uniform(key.with(name).with(part), shape, bound);
    };
    weight.copy_(uniform("weight", weight.sizes().vec()));
    if (bias.defined()) bias.copy_(uniform("bias", bias.sizes().vec()));
  };
  block.latents.copy_(random_normal(key.with("latents"), block.latents.sizes().vec(), 1.0));
  for (at::Tensor weight : {block.norm_weight, block.context_norm_weight, block.feed_norm_weight})
    weight.fill_(1.0);
  for (at::Tensor bias : {block.norm_bias, block.context_norm_bias, block.feed_norm_bias}) bias.zero_();
  linear_layer("to_q", block.to_q, {});
  linear_layer("to_kv", block.to_kv, {});
  linear_layer("to_out", block.to_out, {});
  linear_layer("feed_in", block.feed_in_weight, block.feed_in_bias);
  linear_layer("feed_out", block.feed_out_weight, block.feed_out_bias);
}

std::vector<Parameter> parameters(const LatentAttention& block, const std::string& prefix) {
  const std::string cross = prefix + "cross_attend_blocks.0.", feed = prefix + "cross_attend_blocks.1.";
  return {
      {prefix + "latents", block.latents},
      {cross + "norm.weight", block.norm_weight},
      {cross + "norm.bias", block.norm_bias},
      {cross + "norm_context.weight", block.context_norm_weight},
      {cross + "norm_context.bias", block.context_norm_bias},
      {cross + "fn.to_q.weight", block.to_q},
      {cross + "fn.to_kv.weight", block.to_kv},
      {cross + "fn.to_out.weight", block.to_out},
      {feed + "norm.weight", block.feed_norm_weight},
      {feed + "norm.bias", block.feed_norm_bias},
      {feed + "fn.net.0.weight", block.feed_in_weight},
      {feed + "fn.net.0.bias", block.feed_in_bias},
      {feed + "fn.net.2.weight", block.feed_out_weight},
      {feed + "fn.net.2.bias", block.feed_out_bias},
  };
}

at::Tensor latent_attention(const LatentAttention& block, const at::Tensor& states) {
  const int64_t heads = block.config.heads, head_dim = block.config.head_dim;
  const at::ScalarType dtype = states.scalar_type();
  const at::Tensor context = layer_norm(block.latents.to(dtype), block.context_norm_weight,
                                        block.context_norm_bias, kLayerNormEpsilon);
  const at::Tensor q =
      project(layer_norm(states, block.norm_weight, block.norm_bias, kLayerNormEpsilon), block.to_q);
  const at::Tensor kv = project(context, block.to_kv).view({context.size(0), 2 * heads, head_dim});

  // Head by head: products of [T, d] with [L, d], whose rows do not depend on T.
  std::vector<at::Tensor> attended;
  for (int64_t head = 0; head < heads; ++head) {
    const at::Tensor keys = kv.select(1, head) / std::sqrt(static_cast<double>(head_dim));
    const at::Tensor scores = project(q.narrow(1, head * head_dim, head_dim), keys);
    attended.push_back(project(scores.softmax(-1), kv.select(1, heads + head).t()));
  }
  const at::Tensor crossed = project(at::cat(attended, 1), block.to_out) + states;

  const at::Tensor normed =
      layer_norm(crossed, block.feed_norm_weight, block.feed_norm_bias, kLayerNormEpsilon);
  const std::vector<at::Tensor> halves =
      project(normed, block.feed_in_weight, block.feed_in_bias).chunk(2, -1);
  const auto exact_gelu = [](const at::Tensor& x) { return at::gelu(x); };
  return project(gated(exact_gelu, halves[1], halves[0]), block.feed_out_weight, block.feed_out_bias) +
         crossed;
}

}  // namespace decovec
