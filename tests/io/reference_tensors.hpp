// What the reference files of every format hold.
#pragma once
#include <gtest/gtest.h>
#include <vector>

#include <ATen/ATen.h>

#include "decovec/io/safetensors.hpp"
#include "decovec/io/tensor_files.hpp"

namespace decovec {

// The tensors of tests/data/mixed_tensors.py, in another order.
inline std::vector<NamedTensor> reference_tensors() {
  const at::Tensor values = at::tensor({0.5, -1.25, 3.0, 40.0, -5.5, 0.0}, at::kDouble);
  const at::Tensor integers = at::tensor({1, -2, 3, 100, -128, 127}, at::kInt);
  return {{"scalar", at::scalar_tensor(2.5f)},
          {"名前.weight", at::ones({1, 1, 1})},
          {"uint8", at::tensor({0, 7, 255}, at::kByte)},
          {"empty", at::empty({0, 4})},
          {"float64", values.view({3, 2})},
          {"float32", values.view({2, 3}).to(at::kFloat)},
          {"float16", values.to(at::kHalf)},
          {"bfloat16", values.to(at::kBFloat16).view({1, 6})},
          {"bool", at::tensor({1, 0, 1}).to(at::kBool)},
          {"int64", at::tensor({int64_t{1} << 62, -(int64_t{1} << 62)}, at::kLong)},
          {"int32", integers},
          {"int16", integers.to(at::kShort)},
          {"int8", integers.to(at::kChar)}};
}

inline void expect_equal(const at::Tensor& got, const at::Tensor& expected, const std::string& name) {
  ASSERT_EQ(got.scalar_type(), expected.scalar_type()) << name;
  ASSERT_EQ(got.sizes(), expected.sizes()) << name;
  EXPECT_TRUE(at::equal(got, expected)) << name;
}

inline void expect_reference_tensors(const TensorFiles& file) {
  const std::vector<NamedTensor> expected = reference_tensors();
  EXPECT_EQ(file.names().size(), expected.size());
  for (const NamedTensor& named : expected) {
    ASSERT_TRUE(file.contains(named.name)) << named.name;
    EXPECT_EQ(file.shape(named.name), named.tensor.sizes().vec()) << named.name;
    expect_equal(file.tensor(named.name), named.tensor, named.name);
  }
}

}  // namespace decovec
