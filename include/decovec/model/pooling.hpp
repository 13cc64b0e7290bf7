#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/model/parameter.hpp"
#include "decovec/model/token_batch.hpp"
#include "decovec/world/random.hpp"

namespace decovec {

/// How the states of a text's pooled positions become one vector. Source: sentence-transformers' Pooling, and
/// NV-Embed.
enum class Pooling {
  mean,
  last_token,        ///< the state of the last position
  latent_attention,  ///< NV-Embed's latent attention over the states, then their mean
  cls,               ///< the state of the first position, or of the text's first where none is pooled
  max,               ///< the largest value, column by column
  mean_sqrt_len,     ///< the sum over the square root of the number of positions
  weighted_mean,     ///< the mean weighted by the position in the whole sequence, from 1
};

/// The enumerator's name: "mean", "last_token", ...
std::string_view name_of(Pooling pooling);
/// "mean", or "mean, max" for vectors side by side.
std::string name_of(const std::vector<Pooling>& pooling);
/// All of them, in the order of the enumeration.
const std::vector<Pooling>& all_poolings();

/// Sizes of NV-Embed's latent attention; the defaults are the published model's.
struct LatentAttentionConfig {
  int64_t latents = 512;
  int64_t heads = 8;
  int64_t head_dim = 4096;  ///< cross_dim_head
  int64_t latent_dim = 4096;
  int64_t multiplier = 4;  ///< the feed-forward's inner width over the hidden size

  bool operator==(const LatentAttentionConfig&) const = default;
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

/// states [T, H] and where its sequences and pooled positions lie to [B, n H]: the n poolings side by side,
/// in float32 (float64 for float64). A sequence with no pooled position gives zeros, save for cls.
/// latent_attention is a mean here: the states come from `latent_attention`.
at::Tensor pool(const std::vector<Pooling>& poolings, const at::Tensor& states, const TokenBatch& batch);

}  // namespace decovec
