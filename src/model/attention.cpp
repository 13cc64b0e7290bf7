#include "model/attention.hpp"

#include <ATen/ATen.h>

namespace decovec {
namespace {

// Queries that a windowed sequence handles at once: its scores take block x (block + 2 window), not length x
// length.
constexpr int64_t kWindowBlock = 512;

at::Tensor dense_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal,
                           const at::Tensor& mask = {}) {
  const std::optional<at::Tensor> optional_mask = mask.defined() ? std::optional(mask) : std::nullopt;
  return at::scaled_dot_product_attention(q, k, v, optional_mask, /*dropout_p=*/0.0, causal,
                                          /*scale=*/std::nullopt,
                                          /*enable_gqa=*/q.size(1) != k.size(1));
}

// q, k, v [n, heads, length, d] where length exceeds what a window lets a token reach.
at::Tensor windowed_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t left,
                              int64_t right) {
  const int64_t length = q.size(2);
  std::vector<at::Tensor> blocks;
  for (int64_t begin = 0; begin < length; begin += kWindowBlock) {
    const int64_t end = std::min(begin + kWindowBlock, length);
    const int64_t key_begin = std::max<int64_t>(begin - left, 0);
    const int64_t key_end = std::min(end + right, length);
    const auto options = q.options().dtype(at::kLong);
    const at::Tensor distance = at::arange(key_begin, key_end, options).unsqueeze(0) -  // key - query
                                at::arange(begin, end, options).unsqueeze(1);
    const at::Tensor mask = at::zeros(distance.sizes(), q.options())
                                .masked_fill_((distance < -left).logical_or_(distance > right),
                                              -std::numeric_limits<double>::infinity());
    blocks.push_back(dense_attention(q.narrow(2, begin, end - begin),
                                     k.narrow(2, key_begin, key_end - key_begin),
                                     v.narrow(2, key_begin, key_end - key_begin), /*causal=*/false, mask));
  }
  return at::cat(blocks, 2);
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const PackedLayout& layout, const ModelConfig& config) {
  if (layout.runs.empty()) return at::empty_like(q);
  const bool causal = config.attention == Attention::causal;
  // A window of W is W tokens with oneself when causal, and W to each side when bidirectional.
  const bool windowed = config.sliding_window.has_value();
  const int64_t left = windowed ? *config.sliding_window - (causal ? 1 : 0) : -1;
  const int64_t right = causal ? 0 : left;

  const bool half = q.scalar_type() == at::kHalf || q.scalar_type() == at::kBFloat16;
  const bool head_fits = config.head_dim % 8 == 0 && config.head_dim <= 256;
  if (q.is_cuda() && half && head_fits) {
    const auto window_left = windowed ? std::optional(left) : std::nullopt;
    const auto window_right = windowed ? std::optional(right) : std::nullopt;
    return std::get<0>(at::_flash_attention_forward(
        q, k, v, layout.cu_seqlens, layout.cu_seqlens, layout.max_length, layout.max_length,
        /*dropout_p=*/0.0, causal,
        /*return_debug_mask=*/false, /*scale=*/std::nullopt, window_left, window_right));
  }
  std::vector<at::Tensor> outputs;
  outputs.reserve(layout.runs.size());
  for (const Run& run : layout.runs) {
    const auto sequences = [&](const at::Tensor& x) {
      return x.narrow(0, run.begin, run.count * run.length)
          .view({run.count, run.length, x.size(1), x.size(2)})
          .transpose(1, 2);
    };
    const bool window_matters = windowed && run.length - 1 > left;
    const at::Tensor output = window_matters
                                  ? windowed_attention(sequences(q), sequences(k), sequences(v), left, right)
                                  : dense_attention(sequences(q), sequences(k), sequences(v), causal);
    outputs.push_back(output.transpose(1, 2).reshape({run.count * run.length, q.size(1), q.size(2)}));
  }
  return outputs.size() == 1 ? outputs.front() : at::cat(outputs);
}

}  // namespace decovec
