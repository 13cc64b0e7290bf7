#pragma once
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/model/adapter.hpp"
#include "decovec/model/model_config.hpp"
#include "decovec/model/parameter.hpp"
#include "decovec/model/token_batch.hpp"
#include "decovec/world/random.hpp"

namespace decovec {

/// Weights of one decoder layer. What a family does not have is undefined.
struct TransformerLayer {
  at::Tensor attention_norm;       ///< [H]
  Linear qkv;                      ///< [(heads + 2 kv_heads) head_dim, H]: rows of q, k, v
  at::Tensor q_norm, k_norm;       ///< [head_dim]
  Linear attention_out;            ///< [H, heads head_dim]
  at::Tensor attention_post_norm;  ///< [H]
  at::Tensor mlp_norm;             ///< [H]
  Linear gate_up;                  ///< [2 I, H]: rows of gate, up
  Linear down;                     ///< [H, I]
  at::Tensor mlp_post_norm;        ///< [H]
};

/// A decoder without its language-model head.
struct Transformer {
  ModelConfig config;
  at::Tensor embedding;                                     ///< [V, H]
  std::optional<LowRank> embedding_adapter = std::nullopt;  ///< of the embedding's transpose [H, V]
  std::vector<TransformerLayer> layers;
  at::Tensor norm;  ///< [H]
};

/// Dropout of a training pass. Which entries become 0 follows from the sequence's key, the token's position
/// in it, layer, place and column alone, so that a pass is repeated however its batch is packed.
struct Dropout {
  double hidden = 0;  ///< share of what attention and feed-forward add to the states; from 0 to below 1
  double adapter_input = 0;         ///< share of what goes into an adapter's `a`
  std::vector<uint64_t> keys = {};  ///< [B]; where a share is above 0
};

struct ForwardOptions {
  /// Recompute each layer in the backward pass rather than keep its intermediate values: about a third more
  /// work for memory of one layer. Only `backward()` works through it.
  bool gradient_checkpointing = false;
  Dropout dropout = {};
};

/// Tensors of the right shapes and no values; dtype and device as given.
Transformer empty_transformer(const ModelConfig& config, at::ScalarType dtype, at::Device device);

/// Matrices drawn from N(0, 0.02), norms one, biases zero; each tensor's draw is keyed by its name.
void initialise(Transformer& transformer, RandomKey key);

/// Every weight, under `prefix` + the names of Hugging Face's base model
/// ("layers.0.self_attn.q_proj.weight"), an adapter's behind its module's under PEFT's
/// ("layers.0.self_attn.q_proj.lora_A.weight").
std::vector<Parameter> parameters(const Transformer& transformer, const std::string& prefix = "");

/// The states after the final norm: [T, H] in the weights' compute dtype (float16 weights on a CPU compute in
/// float32). A sequence's rows do not depend on the other sequences. With gradients enabled and weights that
/// require them, the result carries the graph. Source: transformers' models of the families in families.cpp.
at::Tensor forward(const Transformer& transformer, const TokenBatch& batch,
                   const ForwardOptions& options = {});

}  // namespace decovec
