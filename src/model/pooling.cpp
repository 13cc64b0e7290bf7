#include "decovec/model/pooling.hpp"

#include <array>
#include <utility>

#include <ATen/ATen.h>

#include "io/error.hpp"

namespace decovec {
namespace {

constexpr std::array kNames = {
    std::pair{Pooling::mean, "mean"},
    std::pair{Pooling::last_token, "last_token"},
    std::pair{Pooling::latent_attention, "latent_attention"},
    std::pair{Pooling::cls, "cls"},
    std::pair{Pooling::max, "max"},
    std::pair{Pooling::mean_sqrt_len, "mean_sqrt_len"},
    std::pair{Pooling::weighted_mean, "weighted_mean"},
};

// The states of the pooled positions, text after text.
class PooledRows {
 public:
  PooledRows(const at::Tensor& states, const TokenBatch& batch) : batch_(batch) {
    wide_ = states.scalar_type() == at::kDouble ? states : states.to(at::kFloat);
    std::vector<int64_t> rows, offsets = {0};
    for (size_t b = 0; b < batch.pool_begin.size(); ++b) {
      for (int64_t t = batch.pool_begin[b]; t < length(b); ++t) rows.push_back(batch.cu_seqlens[b] + t);
      offsets.push_back(static_cast<int64_t>(rows.size()));
    }
    const at::Device device = states.device();
    all_ = static_cast<int64_t>(rows.size()) == states.size(0);
    rows_ = at::tensor(rows, at::kLong).to(device);
    bounds_ = at::tensor(offsets, at::kLong).to(device);
  }

  at::Tensor pooled(Pooling pooling) const {
    switch (pooling) {
      case Pooling::mean:
      case Pooling::latent_attention:
        return reduced(rows(), "sum") / counts();
      case Pooling::mean_sqrt_len:
        return reduced(rows(), "sum") / counts().sqrt();
      case Pooling::weighted_mean: {
        const at::Tensor weights = positions();
        return reduced(rows() * weights, "sum") / reduced(weights, "sum").clamp_min(1);
      }
      case Pooling::max: {
        const at::Tensor largest = reduced(rows(), "max");
        return largest.masked_fill(nothing().unsqueeze(1), 0.0);
      }
      case Pooling::last_token:
        return at_position([&](size_t b) { return length(b) - 1; }, /*or_zero=*/true);
      case Pooling::cls:
        return at_position([&](size_t b) { return pools_nothing(b) ? 0 : int64_t{batch_.pool_begin[b]}; },
                           /*or_zero=*/false);
    }
    reject("pool: unknown pooling");
  }

 private:
  int64_t length(size_t b) const { return batch_.cu_seqlens[b + 1] - batch_.cu_seqlens[b]; }
  bool pools_nothing(size_t b) const { return batch_.pool_begin[b] >= length(b); }

  at::Tensor rows() const { return all_ ? wide_ : wide_.index_select(0, rows_); }
  // [n, 1]: their positions in the whole sequence, from 1.
  at::Tensor positions() const {
    std::vector<double> numbers;
    for (size_t b = 0; b < batch_.pool_begin.size(); ++b)
      for (int64_t t = batch_.pool_begin[b]; t < length(b); ++t)
        numbers.push_back(static_cast<double>(t + 1));
    return at::tensor(numbers, at::kDouble).to(wide_.options()).unsqueeze(1);
  }
  at::Tensor nothing() const { return bounds_.diff() == 0; }
  at::Tensor counts() const { return bounds_.diff().clamp_min(1).unsqueeze(1).to(wide_.scalar_type()); }

  at::Tensor reduced(const at::Tensor& rows, const char* how) const {
    const std::optional<at::Scalar> initial =
        std::string_view(how) == "sum" ? std::optional<at::Scalar>(0.0) : std::nullopt;
    return at::segment_reduce(rows, how, /*lengths=*/{}, /*indices=*/{}, bounds_, /*axis=*/0,
                              /*unsafe=*/true, initial);
  }

  // One state a sequence; zeros for a sequence without tokens and, where `or_zero`, without pooled ones.
  template <class Position>
  at::Tensor at_position(const Position& position, bool or_zero) const {
    if (wide_.size(0) == 0) return wide_.new_zeros({batch_.sequences(), wide_.size(1)});
    std::vector<int64_t> places;
    std::vector<bool> dropped;
    bool any_dropped = false;
    for (size_t b = 0; b < batch_.pool_begin.size(); ++b) {
      const bool drop = length(b) == 0 || (or_zero && pools_nothing(b));
      places.push_back(drop ? 0 : batch_.cu_seqlens[b] + position(b));
      dropped.push_back(drop);
      any_dropped = any_dropped || drop;
    }
    const at::Tensor states = wide_.index_select(0, at::tensor(places, at::kLong).to(wide_.device()));
    if (!any_dropped) return states;
    const std::vector<int64_t> flags(dropped.begin(), dropped.end());
    const at::Tensor mask = at::tensor(flags, at::kLong).to(wide_.device(), at::kBool);
    return states.masked_fill(mask.unsqueeze(1), 0.0);
  }

  const TokenBatch& batch_;
  at::Tensor wide_;    // [T, H]
  at::Tensor rows_;    // [n] the pooled ones of them
  at::Tensor bounds_;  // [B + 1] in rows_
  bool all_ = true;
};

}  // namespace

std::string_view name_of(Pooling pooling) {
  for (const auto& [value, name] : kNames)
    if (value == pooling) return name;
  return "";
}

std::string name_of(const std::vector<Pooling>& pooling) {
  std::string names;
  for (Pooling one : pooling) names += fmt::format("{}{}", names.empty() ? "" : ", ", name_of(one));
  return names;
}

const std::vector<Pooling>& all_poolings() {
  static const std::vector<Pooling> list = [] {
    std::vector<Pooling> values;
    for (const auto& entry : kNames) values.push_back(entry.first);
    return values;
  }();
  return list;
}

at::Tensor pool(const std::vector<Pooling>& poolings, const at::Tensor& states, const TokenBatch& batch) {
  if (poolings.empty()) reject("pool: expected at least one pooling, got none");
  const PooledRows rows(states, batch);
  std::vector<at::Tensor> pooled;
  for (Pooling pooling : poolings) pooled.push_back(rows.pooled(pooling));
  return pooled.size() == 1 ? pooled.front() : at::cat(pooled, 1);
}

}  // namespace decovec
