#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

/// One tensor of the checkpoint: rows of a tensor that the model holds.
///
/// Weights are held fused (q, k and v in one, gate and up in one) and stored apart, so the checkpoint's
/// tensors are row views. The one list of a model's parameters serves loading, saving, the optimizer and
/// whatever acts on weights by name.
struct Parameter {
  std::string name;   ///< the checkpoint's name
  at::Tensor holder;  ///< the tensor the model computes with; its gradient is holder.grad()
  int64_t row = 0;    ///< the first row of the holder
  int64_t rows = -1;  ///< -1: the whole holder

  std::vector<int64_t> shape() const;
  /// A view of the values, apart from any graph: writing to it changes the model.
  at::Tensor value() const;
  /// A view of the gradient; an undefined tensor where there is none.
  at::Tensor gradient() const;
};

}  // namespace decovec
