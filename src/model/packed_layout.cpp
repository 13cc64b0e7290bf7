#include "model/packed_layout.hpp"

#include <cmath>

namespace decovec {
namespace {

// cos and sin of position * theta^(-2i/d), [2, positions, d/2] in float32 as in the reference. Scalar calls,
// so that an entry's bits depend on its position alone, not on its place in a vectorised loop.
at::Tensor rotary_table(int64_t positions, const ModelConfig& config) {
  const int64_t half = config.head_dim / 2;
  std::vector<float> inverse_frequency(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(config.head_dim);
    inverse_frequency[static_cast<size_t>(i)] =
        1.0f / std::pow(static_cast<float>(config.rope_theta), exponent);
  }
  at::Tensor table = at::empty({2, positions, half}, at::kFloat);
  float* cos = table.data_ptr<float>();
  float* sin = cos + positions * half;
  for (int64_t position = 0; position < positions; ++position) {
    for (int64_t i = 0; i < half; ++i) {
      const float angle = static_cast<float>(position) * inverse_frequency[static_cast<size_t>(i)];
      *cos++ = std::cos(angle);
      *sin++ = std::sin(angle);
    }
  }
  return table;
}

}  // namespace

PackedLayout lay_out(const TokenBatch& batch, const ModelConfig& config, at::ScalarType compute_dtype) {
  PackedLayout layout;
  const at::Tensor position = at::empty({batch.tokens()}, at::kLong);
  int64_t* next_position = position.data_ptr<int64_t>();
  for (int64_t b = 0; b < batch.sequences(); ++b) {
    const int64_t begin = batch.cu_seqlens[static_cast<size_t>(b)];
    const int64_t length = batch.cu_seqlens[static_cast<size_t>(b) + 1] - begin;
    layout.max_length = std::max(layout.max_length, length);
    for (int64_t i = 0; i < length; ++i) *next_position++ = i;
    if (length == 0) continue;
    if (!layout.runs.empty() && layout.runs.back().length == length) {
      ++layout.runs.back().count;
    } else {
      layout.runs.push_back({begin, 1, length});
    }
  }
  const at::Device device = batch.ids.device();
  const at::Tensor table = rotary_table(layout.max_length, config).to(device, compute_dtype);
  const at::Tensor rows = position.to(device);
  layout.cos = table[0].index_select(0, rows).unsqueeze(1);
  layout.sin = table[1].index_select(0, rows).unsqueeze(1);
  layout.cu_seqlens = at::tensor(batch.cu_seqlens, at::kInt).to(device);
  return layout;
}

}  // namespace decovec
