// Linear maps with adapters beside them.
#pragma once
#include <array>
#include <optional>

#include <ATen/core/Tensor.h>

#include "decovec/model/transformer.hpp"
#include "model/dropout.hpp"

namespace decovec {

/// x [n, in] to [n, out]: x weight^T + bias, with the adapters' changes. An adapter computes in the dtype of
/// its own tensors, as PEFT's do, and with dropout of its input (DoRA also scales the base's product of that
/// input, as PEFT's does). A row of the result does not depend on the number of rows.
at::Tensor project(const at::Tensor& x, const Linear& linear, const DropoutPlace& dropout = {});

/// Rows of the embedding [T, H] in `dtype`, with the change of an adapter whose weight is the embedding's
/// transpose [H, V].
at::Tensor look_up(const at::Tensor& embedding, const std::optional<LowRank>& adapter, const at::Tensor& ids,
                   at::ScalarType dtype);

/// Puts every adapter's change into new weights, each rounded to the weight's dtype once, and removes the
/// adapters. Throws std::runtime_error for a weight that becomes too large for its dtype.
void merge_adapters(Transformer& transformer);

/// A layer's linear maps.
inline std::array<Linear*, 4> linears(TransformerLayer& layer) {
  return {&layer.qkv, &layer.attention_out, &layer.gate_up, &layer.down};
}

/// The dtype of adapters beside weights of this dtype: float32 at least, as PEFT casts them.
at::ScalarType adapter_dtype(at::ScalarType weights);

}  // namespace decovec
