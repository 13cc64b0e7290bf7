// The tensors that training changes: each holder once, however many parameters are rows of it.
#pragma once
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/io/safetensors.hpp"
#include "decovec/io/tensor_files.hpp"
#include "decovec/model/parameter.hpp"

namespace decovec {

/// What is trained. Optimizers act element by element, so they see holders; files see parameters.
struct Weights {
  std::vector<Parameter> parameters;
  std::vector<at::Tensor> holders;  ///< without repetition, in the parameters' order
  std::vector<size_t> holder_of;    ///< [parameters]
  /// [holders]: the float32 values that are updated where a holder is bfloat16 or float16 (the holder is
  /// their rounding); the holder itself otherwise.
  std::vector<at::Tensor> masters;

  /// A parameter's rows of its holder's companion (a gradient, a moment, a master).
  at::Tensor rows_of(size_t parameter, const std::vector<at::Tensor>& companions) const;
};

/// Throws std::invalid_argument for a holder that is not contiguous or not of a floating-point type.
Weights make_weights(std::vector<Parameter> parameters);

/// True where the values are trained through a float32 master.
bool has_master(const at::Tensor& holder);

/// Fills tensors from a file that holds exactly these. Throws std::runtime_error for tensors that are
/// missing, too many, or of another shape or type, before anything is changed.
void restore_tensors(const std::vector<NamedTensor>& tensors, const TensorFiles& file);

/// Lets the holders require gradients while it lives; afterwards they do not, and their gradients are gone.
class TrainableScope {
 public:
  explicit TrainableScope(const Weights& weights);
  ~TrainableScope();
  TrainableScope(const TrainableScope&) = delete;
  TrainableScope& operator=(const TrainableScope&) = delete;

 private:
  std::vector<at::Tensor> holders_;
};

}  // namespace decovec
