#include "decovec/model/pooling.hpp"

#include <ATen/ATen.h>

namespace decovec {
namespace {

bool pools_nothing(const TokenBatch& batch, size_t b) {
  return batch.pool_begin[b] >= batch.cu_seqlens[b + 1] - batch.cu_seqlens[b];
}

}  // namespace

at::Tensor mean_pool(const at::Tensor& states, const TokenBatch& batch) {
  std::vector<int64_t> pooled, offsets = {0};
  for (size_t b = 0; b < batch.pool_begin.size(); ++b) {
    for (int64_t t = batch.cu_seqlens[b] + batch.pool_begin[b]; t < batch.cu_seqlens[b + 1]; ++t)
      pooled.push_back(t);
    offsets.push_back(static_cast<int64_t>(pooled.size()));
  }
  const at::Device device = states.device();
  at::Tensor wide = states.scalar_type() == at::kDouble ? states : states.to(at::kFloat);
  if (static_cast<int64_t>(pooled.size()) != states.size(0)) {
    wide = wide.index_select(0, at::tensor(pooled, at::kLong).to(device));
  }
  const at::Tensor bounds = at::tensor(offsets, at::kLong).to(device);
  const at::Tensor sums = at::segment_reduce(wide, "sum", /*lengths=*/{}, /*indices=*/{}, bounds, /*axis=*/0,
                                             /*unsafe=*/true, /*initial=*/0.0);
  return sums / bounds.diff().clamp_min(1).unsqueeze(1).to(wide.scalar_type());
}

at::Tensor last_token_pool(const at::Tensor& states, const TokenBatch& batch) {
  std::vector<int64_t> last;
  std::vector<float> kept;
  bool all_kept = true;
  for (size_t b = 0; b < batch.pool_begin.size(); ++b) {
    const bool nothing = pools_nothing(batch, b);
    last.push_back(nothing ? 0 : batch.cu_seqlens[b + 1] - 1);
    kept.push_back(nothing ? 0.0f : 1.0f);
    all_kept = all_kept && !nothing;
  }
  if (states.size(0) == 0) return states.new_zeros({batch.sequences(), states.size(1)});
  const at::Tensor rows = states.index_select(0, at::tensor(last, at::kLong).to(states.device()));
  return all_kept ? rows : rows * at::tensor(kept, at::kFloat).to(states.options()).unsqueeze(1);
}

}  // namespace decovec
