#include "model/attention.hpp"

#include <ATen/ATen.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>

#include "world/parallel.hpp"

namespace decovec {
namespace {

// Queries that are handled at once where a mask is needed: it takes block x (block + 2 window), not length x
// length. Where the scores are held too, the block shrinks with the length; with nothing else, as a row's
// bits may depend on it.
int64_t query_block(const AttentionRule& rule, int64_t length) {
  constexpr int64_t usual = 512;
  return rule.soft_cap ? std::clamp<int64_t>((int64_t{1} << 20) / length, 64, usual) : usual;
}

// q [n, heads, queries, d], k, v [n, kv_heads, keys, d]; mask [queries, keys], 0 or -inf, or undefined.
at::Tensor flash_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttentionRule& rule, bool causal, const at::Tensor& mask = {}) {
  const std::optional<at::Tensor> optional_mask = mask.defined() ? std::optional(mask) : std::nullopt;
  return at::scaled_dot_product_attention(q, k, v, optional_mask, /*dropout_p=*/0.0, causal, rule.scale,
                                          /*enable_gqa=*/q.size(1) != k.size(1));
}

// q [n, groups * queries, d] with k, v [n, keys, d]: the heads that share a key head lie below each other.
at::Tensor capped_product(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                          const AttentionRule& rule, const at::Tensor& mask) {
  const at::ScalarType wide = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor scores = at::matmul(q, k.transpose(-1, -2)).to(wide);
  scores = at::tanh(scores * (rule.scale / *rule.soft_cap)) * *rule.soft_cap;
  if (mask.defined()) {
    const int64_t groups = scores.size(-2) / mask.size(0);
    scores = (scores.unflatten(-2, {groups, mask.size(0)}) + mask.to(wide)).flatten(-3, -2);
  }
  return at::matmul(scores.softmax(-1).to(q.scalar_type()), v);
}

// No flash kernel knows soft caps.
at::Tensor capped_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionRule& rule, const at::Tensor& mask) {
  const int64_t texts = q.size(0), kv_heads = k.size(1), groups = q.size(1) / kv_heads;
  const auto heads_apart = [](const at::Tensor& x, int64_t rows) { return x.reshape({-1, rows, x.size(3)}); };
  const at::Tensor queries = heads_apart(q, groups * q.size(2));
  const at::Tensor keys = heads_apart(k, k.size(2)), values = heads_apart(v, v.size(2));
  at::Tensor result;
  if (!q.is_cpu() || at::GradMode::is_enabled()) {
    result = capped_product(queries, keys, values, rule, mask);
  } else {
    // Head by head, so that the bits of one do not depend on how many there are (see gated).
    result = at::empty_like(queries);
    parallel_for(0, texts * kv_heads, 1, [&](int64_t begin, int64_t end) {
      const at::AutoDispatchBelowADInplaceOrView no_autograd;
      for (int64_t i = begin; i < end; ++i) {
        result[i].copy_(capped_product(queries[i], keys[i], values[i], rule, mask));
      }
    });
  }
  return result.view({texts, q.size(1), q.size(2), q.size(3)});
}

// q, k, v [n, heads, length, d], block by block of queries; a token sees `left` before it and `right` after
// it.
at::Tensor blocked_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const AttentionRule& rule, int64_t left, int64_t right) {
  const int64_t length = q.size(2), block = query_block(rule, length);
  std::vector<at::Tensor> blocks;
  for (int64_t begin = 0; begin < length; begin += block) {
    const int64_t end = std::min(begin + block, length);
    const int64_t key_begin = std::max<int64_t>(begin - left, 0);
    const int64_t key_end = std::min(end + right, length);
    at::Tensor mask;
    if (end - 1 - key_begin > left || key_end - 1 - begin > right) {
      const auto options = q.options().dtype(at::kLong);
      const at::Tensor distance = at::arange(key_begin, key_end, options).unsqueeze(0) -  // key - query
                                  at::arange(begin, end, options).unsqueeze(1);
      mask = at::zeros(distance.sizes(), q.options())
                 .masked_fill_((distance < -left).logical_or_(distance > right),
                               -std::numeric_limits<double>::infinity());
    }
    const at::Tensor queries = q.narrow(2, begin, end - begin);
    const at::Tensor keys = k.narrow(2, key_begin, key_end - key_begin);
    const at::Tensor values = v.narrow(2, key_begin, key_end - key_begin);
    blocks.push_back(rule.soft_cap ? capped_attention(queries, keys, values, rule, mask)
                                   : flash_attention(queries, keys, values, rule, /*causal=*/false, mask));
  }
  return at::cat(blocks, 2);
}

// The same for so many texts at once that the capped scores of a block stay within bounds.
at::Tensor capped_in_parts(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const AttentionRule& rule, int64_t left, int64_t right) {
  const int64_t length = q.size(2);
  const int64_t scores = q.size(1) * std::min(query_block(rule, length), length) * length;
  const int64_t texts = std::max<int64_t>(1, (int64_t{1} << 24) / scores);
  std::vector<at::Tensor> parts;
  for (int64_t begin = 0; begin < q.size(0); begin += texts) {
    const int64_t count = std::min(texts, q.size(0) - begin);
    parts.push_back(blocked_attention(q.narrow(0, begin, count), k.narrow(0, begin, count),
                                      v.narrow(0, begin, count), rule, left, right));
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const PackedLayout& layout, const AttentionRule& rule) {
  if (layout.runs.empty()) return at::empty_like(q);
  // A window of W is W tokens with oneself when causal, and W to each side when bidirectional.
  const int64_t left = rule.window ? *rule.window - (rule.causal ? 1 : 0) : layout.max_length;
  const int64_t right = rule.causal ? 0 : left;

  const bool half = q.scalar_type() == at::kHalf || q.scalar_type() == at::kBFloat16;
  const bool head_fits = q.size(2) % 8 == 0 && q.size(2) <= 256;
  if (q.is_cuda() && half && head_fits && !rule.soft_cap) {
    const auto window_left = rule.window ? std::optional(left) : std::nullopt;
    const auto window_right = rule.window ? std::optional(right) : std::nullopt;
    return std::get<0>(at::_flash_attention_forward(
        q, k, v, layout.cu_seqlens, layout.cu_seqlens, layout.max_length, layout.max_length,
        /*dropout_p=*/0.0, rule.causal,
        /*return_debug_mask=*/false, rule.scale, window_left, window_right));
  }
  std::vector<at::Tensor> outputs;
  outputs.reserve(layout.runs.size());
  for (const Run& run : layout.runs) {
    const auto sequences = [&](const at::Tensor& x) {
      return x.narrow(0, run.begin, run.count * run.length)
          .view({run.count, run.length, x.size(1), x.size(2)})
          .transpose(1, 2);
    };
    const at::Tensor queries = sequences(q), keys = sequences(k), values = sequences(v);
    at::Tensor output;
    if (rule.soft_cap) {
      output = capped_in_parts(queries, keys, values, rule, left, right);
    } else if (run.length - 1 > left) {
      output = blocked_attention(queries, keys, values, rule, left, right);
    } else {
      output = flash_attention(queries, keys, values, rule, rule.causal);
    }
    outputs.push_back(output.transpose(1, 2).reshape({run.count * run.length, q.size(1), q.size(2)}));
  }
  return outputs.size() == 1 ? outputs.front() : at::cat(outputs);
}

}  // namespace decovec
