// The small operations that transformer and pooling share.
#pragma once
#include <ATen/core/Tensor.h>

#include "decovec/world/random.hpp"

namespace decovec {

/// The dtype a model of these weights computes in: float32 for float16 weights on a CPU, whose float16
/// products are many times slower; else the weights' own.
at::ScalarType compute_dtype(const at::Tensor& weight);

/// x [n, in] times weight [out, in] transposed, plus bias [out] where given. A row of the result does not
/// depend on the number of rows.
at::Tensor project(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

/// x / sqrt(mean(x^2) + epsilon) over the last dimension in float32 at least. Without `offset` rounded to x's
/// dtype and then multiplied by weight; with it multiplied by 1 + weight and then rounded. Source:
/// transformers' MistralRMSNorm and GemmaRMSNorm.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, bool offset = false);

using ActivationFunction = at::Tensor (*)(const at::Tensor&);

/// activation(gate) * up, element by element, for [n, I] each, in one pass over rows. Without a graph, a row
/// of the result does not depend on the number of rows or threads.
at::Tensor gated(ActivationFunction activation, const at::Tensor& gate, const at::Tensor& up);

/// float32 tensor on the CPU of independent draws from -bound to bound.
at::Tensor random_uniform(RandomKey key, const std::vector<int64_t>& shape, double bound);

/// LayerNorm over the last dimension with the weights in x's dtype.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon);

}  // namespace decovec
