// Gradients against central differences.
#pragma once
#include <algorithm>
#include <cmath>
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "decovec/model/embedder.hpp"

namespace decovec::test {

/// Expects d loss / d parameter to equal central differences at a few entries of every parameter. The model
/// is float64.
inline void expect_finite_differences(Embedder model, const ForwardOptions& options) {
  std::vector<TokenSequence> sequences;
  for (const char* text : {"a cat", "the sea and the land", "b", "eats fish at night"}) {
    sequences.push_back(model.sequence("find: ", text));
  }
  const TokenBatch batch = pack(sequences, 4096)[0].batch;
  const at::Tensor direction =
      random_normal(RandomKey(11), {batch.sequences(), model.dimensions()}, 1.0).to(at::kDouble);
  const auto loss = [&](const ForwardOptions& how) { return (model.embed(batch, how) * direction).sum(); };
  for (const Parameter& parameter : model.parameters()) parameter.holder.requires_grad_(true);
  loss(options).backward();
  constexpr double step = 1e-5;
  for (const Parameter& parameter : model.parameters()) {
    const at::Tensor gradient = parameter.gradient();
    ASSERT_TRUE(gradient.defined()) << parameter.name;
    at::Tensor flat = parameter.value().view({-1});
    const at::Tensor flat_gradient = gradient.reshape({-1});
    // Where the gradient is largest (an unused embedding row would show nothing), and elsewhere.
    for (int64_t entry : {flat_gradient.abs().argmax().item<int64_t>(), int64_t{0}, flat.numel() / 2}) {
      const at::NoGradGuard no_graph;
      const double value = flat[entry].item<double>();
      flat[entry] = value + step;
      const double above = loss({}).item<double>();
      flat[entry] = value - step;
      const double below = loss({}).item<double>();
      flat[entry] = value;
      const double expected = (above - below) / (2 * step);
      EXPECT_NEAR(flat_gradient[entry].item<double>(), expected, 1e-6 * std::max(1.0, std::abs(expected)))
          << parameter.name << " entry " << entry;
    }
  }
}

}  // namespace decovec::test
