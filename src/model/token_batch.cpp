#include "decovec/model/token_batch.hpp"

#include <algorithm>
#include <numeric>

#include "io/error.hpp"

namespace decovec {
namespace {

PackedBatch lay_out(const std::vector<TokenSequence>& sequences, std::vector<int64_t> rows,
                    at::Device device) {
  PackedBatch packed;
  TokenBatch& batch = packed.batch;
  std::vector<int64_t> ids;
  batch.cu_seqlens.push_back(0);
  for (int64_t row : rows) {
    const TokenSequence& sequence = sequences[static_cast<size_t>(row)];
    ids.insert(ids.end(), sequence.ids.begin(), sequence.ids.end());
    batch.cu_seqlens.push_back(static_cast<int32_t>(ids.size()));
    batch.pool_begin.push_back(static_cast<int32_t>(sequence.pool_begin));
  }
  batch.ids = at::tensor(ids, at::kLong).to(device);
  packed.rows = std::move(rows);
  return packed;
}

}  // namespace

void validate(const TokenBatch& batch) {
  if (batch.cu_seqlens.empty() || batch.cu_seqlens.size() != batch.pool_begin.size() + 1) {
    reject("token batch: cu_seqlens: expected one entry more than pool_begin's {}, got {}",
           batch.pool_begin.size(), batch.cu_seqlens.size());
  }
  if (batch.cu_seqlens.front() != 0 || !std::is_sorted(batch.cu_seqlens.begin(), batch.cu_seqlens.end())) {
    reject("token batch: cu_seqlens: expected to start at 0 and not to fall");
  }
  if (std::any_of(batch.pool_begin.begin(), batch.pool_begin.end(),
                  [](int32_t begin) { return begin < 0; })) {
    reject("token batch: pool_begin: expected 0 or more");
  }
  if (!batch.ids.defined() || batch.ids.dim() != 1 || batch.ids.scalar_type() != at::kLong ||
      batch.ids.size(0) != batch.tokens()) {
    reject("token batch: ids: expected {} int64 numbers in one dimension", batch.tokens());
  }
}

std::vector<PackedBatch> pack(const std::vector<TokenSequence>& sequences, int64_t batch_tokens,
                              at::Device device) {
  if (batch_tokens < 1) reject("pack: batch_tokens: expected 1 or more, got {}", batch_tokens);
  const auto length = [&](int64_t row) {
    return static_cast<int64_t>(sequences[static_cast<size_t>(row)].ids.size());
  };
  std::vector<int64_t> order(sequences.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return length(a) > length(b); });

  std::vector<PackedBatch> batches;
  std::vector<int64_t> rows;
  int64_t tokens = 0;
  for (int64_t row : order) {
    if (!rows.empty() && tokens + length(row) > batch_tokens) {
      batches.push_back(lay_out(sequences, std::move(rows), device));
      rows.clear();
      tokens = 0;
    }
    rows.push_back(row);
    tokens += length(row);
  }
  if (!rows.empty()) batches.push_back(lay_out(sequences, std::move(rows), device));
  return batches;
}

}  // namespace decovec
