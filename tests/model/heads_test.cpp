// What follows the pooling: rows that do not depend on each other, and gradients. The values are compared
// with sentence-transformers' in folders_test.cpp.
#include "decovec/model/heads.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "decovec/world/random.hpp"

namespace decovec {
namespace {

constexpr const char* kActivations[] = {"Identity", "Tanh", "ReLU", "GELU",      "SiLU",
                                        "Sigmoid",  "Mish", "ELU",  "LeakyReLU", "Softplus"};

at::Tensor random(const char* name, std::vector<int64_t> shape, at::ScalarType dtype) {
  return random_normal(RandomKey(5).with(name), shape, 1.0).to(dtype);
}

// Two Dense layers with all that one can have, and odd sizes, which leave a rest behind whole vector
// registers.
std::vector<Head> heads(const char* activation, at::ScalarType dtype = at::kFloat) {
  return {Dense{.activation = activation,
                .weight = random("first", {29, 37}, dtype),
                .bias = random("bias", {29}, dtype),
                .use_residual = true,
                .residual = random("residual", {29, 37}, dtype)},
          Normalize{},
          Dense{.activation = activation, .weight = random("second", {29, 29}, dtype), .use_residual = true},
          Truncation{13}};
}

TEST(Heads, ARowIsTheSameAloneAndInAnyBatch) {
  const at::NoGradGuard no_graph;
  const at::Tensor pooled = random("pooled", {70, 37}, at::kFloat);
  for (const char* activation : kActivations) {
    SCOPED_TRACE(activation);
    const std::vector<Head> list = heads(activation);
    const at::Tensor together = apply(list, pooled);
    for (int64_t rows : {1, 2, 5, 11, 12, 33}) {
      EXPECT_TRUE(apply(list, pooled.narrow(0, 7, rows)).equal(together.narrow(0, 7, rows))) << rows;
    }
  }
}

TEST(Heads, GradientsEqualFiniteDifferences) {
  at::Tensor pooled = random("pooled", {4, 37}, at::kDouble);
  const at::Tensor direction = random("direction", {4, 13}, at::kDouble);
  for (const char* activation : kActivations) {
    SCOPED_TRACE(activation);
    const std::vector<Head> list = heads(activation, at::kDouble);
    std::vector<Parameter> parameters = decovec::parameters(list);
    ASSERT_EQ(parameters.size(), 4u);
    parameters.push_back({"pooled", pooled});
    const auto loss = [&] { return (apply(list, pooled) * direction).sum(); };
    for (const Parameter& parameter : parameters) parameter.holder.requires_grad_(true);
    loss().backward();
    for (const Parameter& parameter : parameters) {
      const at::NoGradGuard no_graph;
      at::Tensor values = parameter.value().view({-1});
      const at::Tensor gradient = parameter.gradient().reshape({-1});
      for (int64_t entry : {int64_t{0}, gradient.abs().argmax().item<int64_t>(), values.numel() - 1}) {
        constexpr double step = 1e-6;
        const double value = values[entry].item<double>();
        values[entry] = value + step;
        const double above = loss().item<double>();
        values[entry] = value - step;
        const double below = loss().item<double>();
        values[entry] = value;
        const double expected = (above - below) / (2 * step);
        EXPECT_NEAR(gradient[entry].item<double>(), expected, 1e-7 * std::max(1.0, std::abs(expected)))
            << parameter.name << " entry " << entry;
      }
    }
    pooled.mutable_grad() = at::Tensor();
  }
}

TEST(Heads, ColumnsAreCounted) {
  EXPECT_EQ(output_columns(heads("Tanh"), 37), 13);
  EXPECT_EQ(output_columns({Normalize{}, Truncation{100}}, 37), 37);
  EXPECT_EQ(output_columns({}, 37), 37);
  EXPECT_THROW(output_columns(heads("Tanh"), 36), std::invalid_argument);
  EXPECT_THROW(output_columns(heads("Softmax"), 37), std::invalid_argument);
  EXPECT_THROW(output_columns({Truncation{0}}, 37), std::invalid_argument);
  EXPECT_THROW(output_columns({Dense{}}, 37), std::invalid_argument);
  EXPECT_THROW(output_columns({Dense{.weight = at::zeros({3, 37}), .bias = at::zeros({4})}}, 37),
               std::invalid_argument);
  EXPECT_THROW(output_columns({Dense{.weight = at::zeros({3, 37}), .use_residual = true}}, 37),
               std::invalid_argument);
}

}  // namespace
}  // namespace decovec
