#pragma once
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/text/tokenizer.hpp"

namespace decovec {

/// B sequences laid end to end: T real tokens and nothing else.
///
/// There is no padding, so no mask and no padding side. Only attention and pooling know where a sequence
/// ends.
struct TokenBatch {
  at::Tensor ids;                   ///< [T] int64, on the model's device
  std::vector<int32_t> cu_seqlens;  ///< [B + 1]: sequence b is the tokens [cu_seqlens[b], cu_seqlens[b + 1])
  std::vector<int32_t> pool_begin;  ///< [B]: the first pooled position within sequence b

  int64_t tokens() const { return cu_seqlens.back(); }
  int64_t sequences() const { return static_cast<int64_t>(pool_begin.size()); }
};

/// Throws std::invalid_argument unless cu_seqlens starts at 0 and does not fall, pool_begin has one entry of
/// 0 or more for each sequence, and ids are as many int64 as cu_seqlens ends with.
void validate(const TokenBatch& batch);

/// A packed batch and where its rows belong.
struct PackedBatch {
  TokenBatch batch;
  std::vector<int64_t> rows;  ///< row b of the batch is sequence rows[b] of what was packed
};

/// Lays sequences end to end in batches of at most `batch_tokens` tokens (a longer sequence is a batch of its
/// own). Sequences are sorted by length, longest first, so that equal lengths lie side by side; ties keep
/// their order.
std::vector<PackedBatch> pack(const std::vector<TokenSequence>& sequences, int64_t batch_tokens,
                              at::Device device = at::kCPU);

}  // namespace decovec
