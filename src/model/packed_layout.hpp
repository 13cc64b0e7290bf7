// What every layer needs to know of a packed batch, worked out once a forward.
#pragma once
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/model/model_config.hpp"
#include "decovec/model/token_batch.hpp"
#include "model/dropout.hpp"

namespace decovec {

/// Neighbouring sequences of equal length: tokens [begin, begin + count * length).
struct Run {
  int64_t begin, count, length;
};

/// What turns q and k: [T, 1, rotary dimensions / 2] each, in the compute dtype.
struct RotaryTable {
  at::Tensor cos, sin;
};

struct PackedLayout {
  std::vector<Run> runs;
  int64_t max_length = 0;
  RotaryTable rotary;          ///< of ModelConfig::rope
  RotaryTable sliding_rotary;  ///< of the layers with a window
  at::Tensor cu_seqlens;       ///< [B + 1] int32 on the device
  TokenDropout dropout;        ///< none but in training
};

PackedLayout lay_out(const TokenBatch& batch, const ModelConfig& config, at::ScalarType compute_dtype);

}  // namespace decovec
