#include "decovec/model/parameter.hpp"

#include <ATen/ATen.h>

namespace decovec {
namespace {

at::Tensor slice(const Parameter& parameter, const at::Tensor& whole) {
  return parameter.rows < 0 ? whole : whole.narrow(0, parameter.row, parameter.rows);
}

}  // namespace

std::vector<int64_t> Parameter::shape() const {
  std::vector<int64_t> sizes = holder.sizes().vec();
  if (rows >= 0) sizes[0] = rows;
  return sizes;
}

at::Tensor Parameter::value() const { return slice(*this, holder.detach()); }

at::Tensor Parameter::gradient() const {
  const at::Tensor& whole = holder.grad();
  return whole.defined() ? slice(*this, whole) : at::Tensor();
}

}  // namespace decovec
