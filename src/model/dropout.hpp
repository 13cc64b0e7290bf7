// Dropout that does not depend on how a batch is packed or how often it is computed.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/model/transformer.hpp"

namespace decovec {

/// One place of a forward pass where entries are dropped.
struct DropoutPlace {
  double rate = 0;
  const std::vector<uint64_t>* tokens = nullptr;  ///< keys of the batch's tokens
  RandomKey place = RandomKey(0);

  template <class Part>
  DropoutPlace with(Part part) const {
    return {rate, tokens, place.with(part)};
  }
};

/// x [T, n] with `rate` of its entries 0 and the others divided by 1 - rate. An entry's lot is a hash of its
/// token's key, the place and the column. x itself where the rate is 0.
at::Tensor drop(const at::Tensor& x, const DropoutPlace& place);

/// The dropout of one batch.
class TokenDropout {
 public:
  TokenDropout() = default;
  /// Throws std::invalid_argument for shares that are not from 0 to below 1, and where there is not one key a
  /// sequence.
  TokenDropout(const Dropout& dropout, const TokenBatch& batch);

  /// Of the change that a part of a layer adds to the states.
  DropoutPlace hidden(int64_t layer, std::string_view part) const { return at(hidden_, layer, part); }
  /// Of what goes into the adapters of a layer's linear map.
  DropoutPlace adapter_input(int64_t layer, std::string_view linear) const {
    return at(adapter_input_, layer, linear);
  }

 private:
  DropoutPlace at(double rate, int64_t layer, std::string_view part) const {
    if (rate == 0) return {};
    return {rate, &tokens_, RandomKey(0).with(static_cast<uint64_t>(layer)).with(part)};
  }

  double hidden_ = 0, adapter_input_ = 0;
  std::vector<uint64_t> tokens_;  // [T]
};

}  // namespace decovec
