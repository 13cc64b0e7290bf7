#include "model/packed_layout.hpp"

#include <cmath>
#include <map>

#include <ATen/ATen.h>

#include "model/rope.hpp"

namespace decovec {
namespace {

// cos and sin of position * frequency, [2, positions, d/2] in float32 as in the reference. Scalar calls, so
// that an entry's bits depend on its position alone, not on its place in a vectorised loop.
at::Tensor positions_table(int64_t positions, const RotaryFrequencies& frequencies) {
  const auto half = static_cast<int64_t>(frequencies.inverse.size());
  at::Tensor table = at::empty({2, positions, half}, at::kFloat);
  float* cos = table.data_ptr<float>();
  float* sin = cos + positions * half;
  for (int64_t position = 0; position < positions; ++position) {
    for (float frequency : frequencies.inverse) {
      const float angle = static_cast<float>(position) * frequency;
      *cos++ = std::cos(angle) * frequencies.scale;
      *sin++ = std::sin(angle) * frequencies.scale;
    }
  }
  return table;
}

// Texts of one length class (see rotary_class) share a table of positions; `rows` are the batch's positions
// in these tables, which lie below each other.
RotaryTable rotary_table(const std::vector<Run>& runs, const Rope& rope, const ModelConfig& config,
                         at::Device device, at::ScalarType dtype) {
  std::map<int64_t, int64_t> longest;  // class → longest text
  int64_t tokens = 0;
  for (const Run& run : runs) {
    int64_t& length = longest[rotary_class(rope, config, run.length)];
    length = std::max(length, run.length);
    tokens += run.count * run.length;
  }
  std::map<int64_t, int64_t> first_row;
  std::vector<at::Tensor> tables;
  int64_t next_row = 0;
  for (const auto& [length_class, length] : longest) {
    tables.push_back(positions_table(length, rotary_frequencies(rope, config, length)));
    first_row[length_class] = next_row;
    next_row += length;
  }
  at::Tensor rows = at::empty({tokens}, at::kLong);
  int64_t* row = rows.data_ptr<int64_t>();
  for (const Run& run : runs) {
    const int64_t first = first_row[rotary_class(rope, config, run.length)];
    for (int64_t text = 0; text < run.count; ++text) {
      for (int64_t i = 0; i < run.length; ++i) *row++ = first + i;
    }
  }
  rows = rows.to(device);
  const at::Tensor table =
      (tables.empty() ? at::empty({2, 0, rotary_dimensions(config) / 2}) : at::cat(tables, 1))
          .to(device, dtype);
  return {.cos = table[0].index_select(0, rows).unsqueeze(1),
          .sin = table[1].index_select(0, rows).unsqueeze(1)};
}

}  // namespace

PackedLayout lay_out(const TokenBatch& batch, const ModelConfig& config, at::ScalarType compute_dtype) {
  PackedLayout layout;
  for (int64_t b = 0; b < batch.sequences(); ++b) {
    const int64_t begin = batch.cu_seqlens[static_cast<size_t>(b)];
    const int64_t length = batch.cu_seqlens[static_cast<size_t>(b) + 1] - begin;
    layout.max_length = std::max(layout.max_length, length);
    if (length == 0) continue;
    if (!layout.runs.empty() && layout.runs.back().length == length) {
      ++layout.runs.back().count;
    } else {
      layout.runs.push_back({begin, 1, length});
    }
  }
  const at::Device device = batch.ids.device();
  layout.rotary = rotary_table(layout.runs, config.rope, config, device, compute_dtype);
  layout.sliding_rotary = config.sliding_rope
                              ? rotary_table(layout.runs, *config.sliding_rope, config, device, compute_dtype)
                              : layout.rotary;
  layout.cu_seqlens = at::tensor(batch.cu_seqlens, at::kInt).to(device);
  return layout;
}

}  // namespace decovec
