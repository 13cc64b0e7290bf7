// Which elements of the weights a rank updates, and how they come and go between the ranks (ZeRO stage 1:
// Rajbhandari et al. 2020, arXiv:1910.02054). Each rank owns an equal run of every tensor's elements, so
// slices in rank order are the tensor.
#pragma once
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/world/world.hpp"

namespace decovec {

/// A rank's own elements of a contiguous tensor, as a flat view.
at::Tensor own_slice(const at::Tensor& tensor, int rank, int ranks);

/// This rank's slices of the sums of `tensors` over all ranks; float or double where there are several. The
/// tensors are released as they go, and travel many at a time.
std::vector<at::Tensor> reduce_to_owners(std::vector<at::Tensor> tensors, World& world);

/// Fills tensors, of which each rank has set its own slice, with the others' slices.
void gather_from_owners(const std::vector<at::Tensor>& tensors, World& world);

}  // namespace decovec
