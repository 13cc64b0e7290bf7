// What the ranks own in slices, put together.
#pragma once
#include <vector>

#include <ATen/ATen.h>

#include "train/shards.hpp"

namespace decovec::test {

/// The tensors of which every rank has its own slice, in the shapes of `like`.
inline std::vector<at::Tensor> whole(const std::vector<at::Tensor>& slices,
                                     const std::vector<at::Tensor>& like, World& world) {
  std::vector<at::Tensor> tensors;
  for (size_t i = 0; i < like.size(); ++i) {
    tensors.push_back(at::zeros(like[i].sizes(), slices[i].options()));
    own_slice(tensors[i], world.rank(), world.size()).copy_(slices[i]);
  }
  gather_from_owners(tensors, world);
  return tensors;
}

}  // namespace decovec::test
