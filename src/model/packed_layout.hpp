// What every layer needs to know of a packed batch, worked out once a forward.
#pragma once
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/model/model_config.hpp"
#include "decovec/model/token_batch.hpp"

namespace decovec {

/// Neighbouring sequences of equal length: tokens [begin, begin + count * length).
struct Run {
  int64_t begin, count, length;
};

struct PackedLayout {
  std::vector<Run> runs;
  int64_t max_length = 0;
  at::Tensor cos, sin;    ///< [T, 1, head_dim / 2] in the compute dtype
  at::Tensor cu_seqlens;  ///< [B + 1] int32 on the device
};

PackedLayout lay_out(const TokenBatch& batch, const ModelConfig& config, at::ScalarType compute_dtype);

}  // namespace decovec
