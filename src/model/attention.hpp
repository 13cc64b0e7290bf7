#pragma once
#include <optional>

#include <ATen/core/Tensor.h>

#include "model/packed_layout.hpp"

namespace decovec {

/// How the queries of one layer meet keys.
struct AttentionRule {
  bool causal = true;
  std::optional<int64_t> window = std::nullopt;   ///< as ModelConfig::sliding_window
  double scale = 1;                               ///< of the scores q k
  std::optional<double> soft_cap = std::nullopt;  ///< c: scores s become c tanh(s / c) before the softmax
};

/// Softmax attention within each sequence of a packed batch. q [T, heads, d]; k, v [T, kv_heads, d]. Returns
/// [T, heads, d]. Scores take memory for a block of queries at a time.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const PackedLayout& layout, const AttentionRule& rule);

}  // namespace decovec
