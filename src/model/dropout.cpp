#include "model/dropout.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "io/error.hpp"
#include "world/parallel.hpp"

namespace decovec {
namespace {

constexpr auto wrapped(uint32_t bits) { return static_cast<int32_t>(bits); }

// [rows, columns] bool: what stays. Both sides' hashes meet in an avalanche of 32 bits: Wellons' lowbias32
// ("Prospecting for Hash Functions", 2018). LibTorch shifts signed integers, hence the masks behind shifts.
at::Tensor kept(const at::Tensor& row_hashes, const at::Tensor& column_hashes, int64_t threshold) {
  at::Tensor bits = row_hashes.unsqueeze(1).bitwise_xor(column_hashes);
  bits.bitwise_xor_(at::bitwise_right_shift(bits, 16).bitwise_and_(0xffff));
  bits.mul_(wrapped(0x7feb352d));
  bits.bitwise_xor_(at::bitwise_right_shift(bits, 15).bitwise_and_(0x1ffff));
  bits.mul_(wrapped(0x846ca68b));
  bits.bitwise_xor_(at::bitwise_right_shift(bits, 16).bitwise_and_(0xffff));
  return bits.ge(threshold);
}

// Block after block of rows: the whole would go through memory once for each operation of the hash.
at::Tensor kept_in_blocks(const at::Tensor& row_hashes, const at::Tensor& column_hashes, int64_t threshold) {
  constexpr int64_t kCpuBlock = int64_t{1} << 15, kDeviceBlock = int64_t{1} << 24;
  const int64_t rows = row_hashes.size(0), columns = column_hashes.size(0);
  const int64_t block =
      std::max<int64_t>(1, (row_hashes.is_cpu() ? kCpuBlock : kDeviceBlock) / std::max<int64_t>(1, columns));
  at::Tensor result = at::empty({rows, columns}, row_hashes.options().dtype(at::kBool));
  const auto fill = [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += block) {
      const int64_t count = std::min(block, end - first);
      result.narrow(0, first, count)
          .copy_(kept(row_hashes.narrow(0, first, count), column_hashes, threshold));
    }
  };
  if (row_hashes.is_cpu()) {
    parallel_for(0, rows, block, fill);
  } else {
    fill(0, rows);
  }
  return result;
}

}  // namespace

at::Tensor drop(const at::Tensor& x, const DropoutPlace& place) {
  if (place.rate == 0) return x;
  at::Tensor rows = at::empty({x.size(0)}, at::kInt);
  int32_t* hash = rows.data_ptr<int32_t>();
  for (const uint64_t token : *place.tokens)
    *hash++ = wrapped(static_cast<uint32_t>(random_bits(RandomKey(token ^ place.place.value))));
  const at::Tensor columns =
      at::arange(x.size(1), x.options().dtype(at::kInt).requires_grad(false)).mul_(wrapped(0x9e3779b9));
  const auto threshold = static_cast<int64_t>(place.rate * 0x1p32) - (int64_t{1} << 31);
  return x * kept_in_blocks(rows.to(x.device()), columns, threshold) * (1 / (1 - place.rate));
}

TokenDropout::TokenDropout(const Dropout& dropout, const TokenBatch& batch)
    : hidden_(dropout.hidden), adapter_input_(dropout.adapter_input) {
  for (const double rate : {hidden_, adapter_input_})
    if (!(rate >= 0 && rate < 1)) reject("dropout: expected a share from 0 to below 1, got {}", rate);
  if (hidden_ == 0 && adapter_input_ == 0) return;
  if (static_cast<int64_t>(dropout.keys.size()) != batch.sequences())
    reject("dropout: keys: expected one for each of the {} sequences, got {}", batch.sequences(),
           dropout.keys.size());
  tokens_.reserve(static_cast<size_t>(batch.tokens()));
  for (size_t b = 0; b < dropout.keys.size(); ++b) {
    const int32_t length = batch.cu_seqlens[b + 1] - batch.cu_seqlens[b];
    for (int32_t position = 0; position < length; ++position)
      tokens_.push_back(random_bits(RandomKey(dropout.keys[b]).with(static_cast<uint64_t>(position))));
  }
}

}  // namespace decovec
