#include "model/ops.hpp"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/grad_mode.h>

#include "world/parallel.hpp"

namespace decovec {
namespace {

// MKL picks another kernel for products of few rows, whose sums round differently; from 12 rows on a row's
// bits are the same for every number of rows (measured for float32).
constexpr int64_t kRowsForInvariance = 12;

}  // namespace

at::ScalarType compute_dtype(const at::Tensor& weight) {
  return weight.is_cpu() && weight.scalar_type() == at::kHalf ? at::kFloat : weight.scalar_type();
}

at::Tensor project(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const at::Tensor w = weight.to(x.scalar_type());
  const at::Tensor b = bias.defined() ? bias.to(x.scalar_type()) : bias;
  const std::optional<at::Tensor> optional_bias = b.defined() ? std::optional(b) : std::nullopt;
  const int64_t rows = x.size(0);
  if (!x.is_cpu() || rows >= kRowsForInvariance) return at::linear(x, w, optional_bias);
  const at::Tensor padded = at::constant_pad_nd(x, {0, 0, 0, kRowsForInvariance - rows});
  return at::linear(padded, w, optional_bias).narrow(0, 0, rows);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon, bool offset) {
  const at::Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + epsilon);
  if (offset) return (wide * scale * (weight.to(wide.scalar_type()) + 1)).to(x.scalar_type());
  return (wide * scale).to(x.scalar_type()) * weight.to(x.scalar_type());
}

at::Tensor gated(ActivationFunction activation, const at::Tensor& gate, const at::Tensor& up) {
  if (!gate.is_cpu() || (at::GradMode::is_enabled() && (gate.requires_grad() || up.requires_grad()))) {
    return activation(gate) * up;
  }
  // LibTorch would cut the elements among its threads anywhere, also within a row, and the last few elements
  // before a cut go through scalar code that rounds differently. Whole rows for each thread keep every row's
  // bits. A row alone counts as contiguous, for which LibTorch has another GELU: so it is taken twice.
  at::Tensor result = at::empty(gate.sizes(), gate.options());
  const int64_t rows_worth_a_thread =
      std::max<int64_t>(1, at::internal::GRAIN_SIZE / std::max<int64_t>(1, gate.size(1)));
  parallel_for(0, gate.size(0), rows_worth_a_thread, [&](int64_t begin, int64_t end) {
    const at::AutoDispatchBelowADInplaceOrView no_autograd;
    const int64_t count = end - begin;
    at::Tensor rows = result.narrow(0, begin, count);
    at::Tensor gates = gate.narrow(0, begin, count);
    if (count == 1) gates = gates.expand({2, gate.size(1)});
    at::mul_out(rows, activation(gates).narrow(0, 0, count), up.narrow(0, begin, count));
  });
  return result;
}

// Through the normals' keyed stream: the distribution function maps one to the other.
at::Tensor random_uniform(RandomKey key, const std::vector<int64_t>& shape, double bound) {
  return at::erf(random_normal(key, shape, 1.0) / std::sqrt(2.0)) * bound;
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double epsilon) {
  return at::layer_norm(x, {x.size(-1)}, weight.to(x.scalar_type()), bias.to(x.scalar_type()), epsilon);
}

}  // namespace decovec
