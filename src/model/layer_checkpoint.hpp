// A layer whose intermediate values are recomputed in the backward pass.
#pragma once
#include <memory>

#include <ATen/core/Tensor.h>

#include "decovec/model/transformer.hpp"
#include "model/packed_layout.hpp"

namespace decovec {

/// Layer number `index`: hidden [T, H] to hidden [T, H].
at::Tensor run_layer(const at::Tensor& hidden, const TransformerLayer& layer, int64_t index,
                     const PackedLayout& layout, const ModelConfig& config);

/// The same values; keeps only `hidden` for the backward pass and runs the layer again there. Works through
/// `backward()` alone, and once.
at::Tensor checkpoint_layer(const at::Tensor& hidden, const TransformerLayer& layer, int64_t index,
                            std::shared_ptr<const PackedLayout> layout, const ModelConfig& config);

}  // namespace decovec
