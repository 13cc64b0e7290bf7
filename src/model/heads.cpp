#include "decovec/model/heads.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "io/error.hpp"
#include "model/ops.hpp"

namespace decovec {
namespace {

constexpr double kMinimalNorm = 1e-12;

struct Activation {
  std::string_view name;
  at::Tensor (*apply)(const at::Tensor&);
};

constexpr Activation kActivations[] = {
    {"Identity", [](const at::Tensor& x) { return x; }},
    {"Tanh", [](const at::Tensor& x) { return at::tanh(x); }},
    {"ReLU", [](const at::Tensor& x) { return at::relu(x); }},
    {"GELU", [](const at::Tensor& x) { return at::gelu(x); }},
    {"SiLU", [](const at::Tensor& x) { return at::silu(x); }},
    {"Sigmoid", [](const at::Tensor& x) { return at::sigmoid(x); }},
    {"LeakyReLU", [](const at::Tensor& x) { return at::leaky_relu(x); }},
    {"ELU", [](const at::Tensor& x) { return at::elu(x); }},
    {"Mish", [](const at::Tensor& x) { return at::mish(x); }},
    {"Softplus", [](const at::Tensor& x) { return at::softplus(x); }},
};

const Activation& find_activation(std::string_view name) {
  std::string known;
  for (const Activation& activation : kActivations) {
    if (activation.name == name) return activation;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", activation.name);
  }
  reject("Dense: activation: expected one of {}, got '{}'", known, name);
}

// Row by row on the CPU: the last elements of a tensor go through scalar code that rounds differently, so
// their bits would depend on the number of rows.
at::Tensor activate(const Activation& activation, const at::Tensor& x) {
  if (!x.is_cpu() || x.size(0) < 2 || (at::GradMode::is_enabled() && x.requires_grad()))
    return activation.apply(x);
  std::vector<at::Tensor> rows;
  for (const at::Tensor& row : x.unbind(0)) rows.push_back(activation.apply(row));
  return at::stack(rows);
}

at::Tensor apply(const Normalize&, const at::Tensor& x) {
  return x / x.norm(2, {1}, /*keepdim=*/true).clamp_min(kMinimalNorm);
}

at::Tensor apply(const Dense& dense, const at::Tensor& x) {
  const at::Tensor out = activate(find_activation(dense.activation), project(x, dense.weight, dense.bias));
  if (!dense.use_residual) return out;
  return out + (dense.residual.defined() ? project(x, dense.residual) : x);
}

at::Tensor apply(const Truncation& truncation, const at::Tensor& x) {
  return x.narrow(1, 0, std::min(truncation.dimensions, x.size(1)));
}

int64_t columns_after(const Normalize&, int64_t columns) { return columns; }

int64_t columns_after(const Dense& dense, int64_t columns) {
  find_activation(dense.activation);
  if (!dense.weight.defined() || dense.weight.dim() != 2 || dense.weight.size(1) != columns) {
    reject("Dense: weight: expected [out, {}], as wide as what comes before it, got {}", columns,
           dense.weight.defined() ? fmt::format("[{}]", fmt::join(dense.weight.sizes(), ", ")) : "none");
  }
  const int64_t out = dense.weight.size(0);
  if (dense.bias.defined() && (dense.bias.dim() != 1 || dense.bias.size(0) != out))
    reject("Dense: bias: expected [{}], got [{}]", out, fmt::join(dense.bias.sizes(), ", "));
  if (dense.residual.defined() != (dense.use_residual && out != columns))
    reject(
        "Dense: residual: expected a matrix exactly where use_residual is set and in ({}) differs from out "
        "({})",
        columns, out);
  if (dense.residual.defined() && dense.residual.sizes() != dense.weight.sizes())
    reject("Dense: residual: expected [{}, {}], got [{}]", out, columns,
           fmt::join(dense.residual.sizes(), ", "));
  return out;
}

int64_t columns_after(const Truncation& truncation, int64_t columns) {
  if (truncation.dimensions < 1)
    reject("Truncation: dimensions: expected 1 or more, got {}", truncation.dimensions);
  return std::min(truncation.dimensions, columns);
}

}  // namespace

at::Tensor apply(const std::vector<Head>& heads, at::Tensor pooled) {
  for (const Head& head : heads)
    pooled = std::visit([&](const auto& one) { return apply(one, pooled); }, head);
  return pooled;
}

int64_t output_columns(const std::vector<Head>& heads, int64_t columns) {
  for (const Head& head : heads)
    columns = std::visit([&](const auto& one) { return columns_after(one, columns); }, head);
  return columns;
}

bool knows_activation(std::string_view name) {
  return std::any_of(std::begin(kActivations), std::end(kActivations),
                     [&](const Activation& activation) { return activation.name == name; });
}

std::vector<Parameter> parameters(const std::vector<Head>& heads) {
  std::vector<Parameter> list;
  for (size_t i = 0; i < heads.size(); ++i) {
    const Dense* dense = std::get_if<Dense>(&heads[i]);
    if (dense == nullptr) continue;
    const std::string folder = dense_folder(i) + "/";
    list.push_back({folder + "linear.weight", dense->weight});
    if (dense->bias.defined()) list.push_back({folder + "linear.bias", dense->bias});
    if (dense->residual.defined()) list.push_back({folder + "residual.weight", dense->residual});
  }
  return list;
}

std::string dense_folder(size_t head) { return fmt::format("{}_Dense", head + 2); }

}  // namespace decovec
