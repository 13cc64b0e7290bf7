#pragma once
#include <ATen/core/Tensor.h>

#include "decovec/model/model_config.hpp"
#include "model/packed_layout.hpp"

namespace decovec {

/// Softmax attention within each sequence of a packed batch. q [T, heads, d]; k, v [T, kv_heads, d]; the mask
/// follows config.attention and config.sliding_window. Returns [T, heads, d].
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const PackedLayout& layout, const ModelConfig& config);

}  // namespace decovec
