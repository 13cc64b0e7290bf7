// The tensors that training changes: each holder once, however many parameters are rows of it.
#pragma once
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/io/safetensors.hpp"
#include "decovec/io/tensor_files.hpp"
#include "decovec/model/embedder.hpp"
#include "decovec/model/parameter.hpp"
#include "decovec/world/world.hpp"
#include "world/ranks.hpp"

namespace decovec {

/// What is trained. Optimizers act element by element, so they see holders, and of each the slice that this
/// rank owns; files see parameters.
struct Weights {
  std::vector<Parameter> parameters;
  std::vector<at::Tensor> holders;  ///< without repetition, in the parameters' order
  std::vector<size_t> holder_of;    ///< [parameters]
  int rank = 0, ranks = 1;
  /// [holders], own slices, flat: the float32 values that are updated where a holder is bfloat16 or float16
  /// (the holder is their rounding); views of the holder otherwise.
  std::vector<at::Tensor> masters;

  /// [holders]: views of this rank's own slices.
  std::vector<at::Tensor> own_slices() const;
  /// Of companions of own slices (gradients, moments, masters), the view of those elements that are a
  /// parameter's; empty where this rank owns none.
  at::Tensor own_part(size_t parameter, const std::vector<at::Tensor>& slices) const;
  /// Which of the parameter's elements these are.
  RowRange own_elements(size_t parameter) const;
};

/// What training changes of a model: everything, or where an adapter lies beside the weights, it alone with
/// the modules that it replaces and with what follows the decoder (latent attention, Dense). Throws
/// std::invalid_argument where it replaces some rows of a tensor alone.
std::vector<Parameter> trained_parameters(const Embedder& model);

/// Throws std::invalid_argument for a holder that is not contiguous or not of a floating-point type.
Weights make_weights(std::vector<Parameter> parameters, const World& world = World());

/// True where the values are trained through a float32 master.
bool has_master(const at::Tensor& holder);

/// Throws std::runtime_error unless a file holds exactly these tensors by name, shape and type. Their values
/// do not count; meta tensors will do.
void check_tensors(const std::vector<NamedTensor>& tensors, const TensorFiles& file);
/// Fills tensors from a file, after that check.
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
