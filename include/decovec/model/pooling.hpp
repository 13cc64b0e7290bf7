#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/model/parameter.hpp"
#include "decovec/model/token_batch.hpp"
#include "decovec/world/random.hpp"

namespace decovec {

/// How the states of a text become one vector.
enum class Pooling {
  mean,              ///< the mean of the pooled positions' states
  last_token,        ///< the state of the last position
  latent_attention,  ///< NV-Embed's latent attention over the states, then their mean
};

/// Sizes of NV-Embed's latent attention; the defaults are the published model's.
struct LatentAttentionConfig {
  int64_t latents = 512;
  int64_t heads = 8;
  int64_t head_dim = 4096;  ///< cross_dim_head
  int64_t latent_dim = 4096;
  int64_t multiplier = 4;  ///< the feed-forward's inner width over the hidden size
};

/// NV-Embed's latent attention block: cross-attention whose queries are the tokens and whose keys and values
/// are trained latents, then a gated feed-forward, both with a residual.
struct LatentAttention {
  LatentAttentionConfig config;
  at::Tensor latents;                                 // [L, latent_dim]
  at::Tensor norm_weight, norm_bias;                  // [H]
  at::Tensor context_norm_weight, context_norm_bias;  // [latent_dim]
  at::Tensor to_q;                                    // [heads head_dim, H]
  at::Tensor to_kv;                                   // [2 heads head_dim, latent_dim]: rows of k, v
  at::Tensor to_out;                                  // [H, heads head_dim]
  at::Tensor feed_norm_weight, feed_norm_bias;        // [H]
  at::Tensor feed_in_weight, feed_in_bias;            // [2 multiplier H, H], [2 multiplier H]
  at::Tensor feed_out_weight, feed_out_bias;          // [H, multiplier H], [H]
};

LatentAttention empty_latent_attention(const LatentAttentionConfig& config, int64_t hidden_size,
                                       at::ScalarType dtype, at::Device device);
/// Latents from N(0, 1); Linear layers uniform in +-1/sqrt(in), as torch.nn.Linear; norms one and zero.
void initialise(LatentAttention& block, RandomKey key);
/// Every weight under `prefix` + NV-Embed's names ("cross_attend_blocks.0.fn.to_q.weight").
std::vector<Parameter> parameters(const LatentAttention& block, const std::string& prefix = "");

/// states [T, H] to states [T, H], token by token. Source: NV-Embed, arXiv:2405.17428, and its published
/// weights' layout.
at::Tensor latent_attention(const LatentAttention& block, const at::Tensor& states);

/// The mean over each sequence's pooled positions, summed in float32 (float64 for float64): [B, H].
/// A sequence with no pooled position gives zeros.
at::Tensor mean_pool(const at::Tensor& states, const TokenBatch& batch);

/// The state of each sequence's last position: [B, H]. A sequence with no pooled position gives zeros.
at::Tensor last_token_pool(const at::Tensor& states, const TokenBatch& batch);

}  // namespace decovec
