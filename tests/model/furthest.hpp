// How far states and vectors are from those of a reference.
#pragma once
#include <gtest/gtest.h>
#include <limits>

#include <ATen/ATen.h>

namespace decovec::test {

/// The largest difference; NaN and infinity do not pass, as they are no distance.
inline double furthest(const at::Tensor& got, const at::Tensor& expected) {
  EXPECT_EQ(got.sizes(), expected.sizes());
  if (got.sizes() != expected.sizes()) return std::numeric_limits<double>::infinity();
  return (got.to(at::kDouble) - expected.to(at::kDouble)).abs().nan_to_num(1e30).max().item<double>();
}

}  // namespace decovec::test
