#include "world/collective_world.hpp"

#include <functional>
#include <numeric>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/DeviceGuard.h>

namespace decovec {

void CollectiveWorld::check_device(const at::Tensor& tensor) const {
  if (tensor.device() != device())
    reject("World: expected a tensor on {}, got {}", device().str(), tensor.device().str());
}

at::Tensor CollectiveWorld::gather(const at::Tensor& rows) {
  if (rows.dim() == 0) reject("World::gather: expected rows, got a scalar");
  check_device(rows);
  at::NoGradGuard no_grad;
  const c10::DeviceGuard guard(device());
  const at::Tensor own = rows.detach().contiguous();
  const int64_t row_bytes =
      static_cast<int64_t>(own.element_size()) *
      std::accumulate(own.sizes().begin() + 1, own.sizes().end(), int64_t{1}, std::multiplies<>());
  at::Tensor shapes = at::zeros({size(), 2}, at::kLong);
  shapes[rank()][0] = own.size(0);
  shapes[rank()][1] = row_bytes;
  shapes = shapes.to(device());
  sum(shapes);
  shapes = shapes.cpu();
  const auto* shape = shapes.const_data_ptr<int64_t>();
  std::vector<int64_t> counts, sizes = own.sizes().vec();
  sizes[0] = 0;
  for (int r = 0; r < size(); ++r, shape += 2) {
    if (shape[1] != row_bytes)  // on all ranks alike, so that none waits
      reject("World::gather: expected rows of one size, got {} and {} bytes", row_bytes, shape[1]);
    counts.push_back(shape[0]);
    sizes[0] += shape[0];
  }
  at::Tensor all = at::empty(sizes, own.options());
  gather_rows(own, counts, row_bytes, all);
  return all;
}

void CollectiveWorld::reduce(at::Tensor& tensor) {
  check_device(tensor);
  at::NoGradGuard no_grad;
  const c10::DeviceGuard guard(device());
  const bool narrow = tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16;
  at::Tensor values = (narrow ? tensor.to(at::kFloat) : tensor).contiguous();
  sum(values);
  if (!values.is_same(tensor)) tensor.copy_(values);
}

at::Tensor CollectiveWorld::reduce_scatter(const at::Tensor& values, const std::vector<int64_t>& sizes) {
  check_device(values);
  if (values.dim() != 1 || std::ssize(sizes) != size() ||
      std::accumulate(sizes.begin(), sizes.end(), int64_t{0}) != values.size(0))
    reject("World::reduce_scatter: expected {} sizes that add up to the values' number", size());
  at::NoGradGuard no_grad;
  const c10::DeviceGuard guard(device());
  at::Tensor own = at::empty({sizes[static_cast<size_t>(rank())]}, values.options().requires_grad(false));
  sum_parts(values.detach().contiguous(), sizes, own);
  return own;
}

}  // namespace decovec
