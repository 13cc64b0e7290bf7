#include "train/shards.hpp"

#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "world/ranks.hpp"

namespace decovec {
namespace {

/// Consecutive tensors of one type that travel together: enough of them to be worth a message, few enough to
/// be worth no memory.
std::vector<RowRange> buckets(const std::vector<at::Tensor>& tensors) {
  constexpr int64_t kMostElements = int64_t{1} << 24;
  std::vector<RowRange> found;
  int64_t elements = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto place = static_cast<int64_t>(i);
    const bool joins = !found.empty() && elements + tensors[i].numel() <= kMostElements &&
                       tensors[i].scalar_type() == tensors[i - 1].scalar_type();
    if (!joins) {
      found.push_back({place, place});
      elements = 0;
    }
    found.back().end = place + 1;
    elements += tensors[i].numel();
  }
  return found;
}

/// Calls use(rank, slice) in the order of a bucket's elements: rank after rank, of each every tensor.
template <class Use>
void for_each_slice(RowRange bucket, const std::vector<at::Tensor>& tensors, int ranks, Use&& use) {
  for (int rank = 0; rank < ranks; ++rank)
    for (auto i = static_cast<size_t>(bucket.begin); i < static_cast<size_t>(bucket.end); ++i)
      use(rank, own_slice(tensors[i], rank, ranks));
}

}  // namespace

at::Tensor own_slice(const at::Tensor& tensor, int rank, int ranks) {
  const RowRange own = rows_of_rank(tensor.numel(), rank, ranks);
  return tensor.detach().view(-1).narrow(0, own.begin, own.size());
}

std::vector<at::Tensor> reduce_to_owners(std::vector<at::Tensor> tensors, World& world) {
  at::NoGradGuard no_grad;
  const int ranks = world.size();
  std::vector<at::Tensor> own(tensors.size());
  if (ranks == 1) {
    for (size_t i = 0; i < tensors.size(); ++i) own[i] = tensors[i].view(-1);
    return own;
  }
  for (const RowRange bucket : buckets(tensors)) {
    std::vector<at::Tensor> slices;
    std::vector<int64_t> sizes(static_cast<size_t>(ranks)), own_sizes;
    for_each_slice(bucket, tensors, ranks, [&](int rank, const at::Tensor& slice) {
      slices.push_back(slice);
      sizes[static_cast<size_t>(rank)] += slice.numel();
      if (rank == world.rank()) own_sizes.push_back(slice.numel());
    });
    const auto first = static_cast<size_t>(bucket.begin);
    at::Tensor values = bucket.size() == 1 ? tensors[first].view(-1) : at::cat(slices);
    if (values.scalar_type() != at::kDouble) values = values.to(at::kFloat);
    const std::vector<at::Tensor> parts = world.reduce_scatter(values, sizes).split_with_sizes(own_sizes);
    for (size_t i = 0; i < parts.size(); ++i) {
      own[first + i] = parts[i];
      tensors[first + i].reset();
    }
  }
  return own;
}

void gather_from_owners(const std::vector<at::Tensor>& tensors, World& world) {
  if (world.size() == 1) return;
  at::NoGradGuard no_grad;
  for (const RowRange bucket : buckets(tensors)) {
    std::vector<at::Tensor> own;
    for_each_slice(bucket, tensors, world.size(), [&](int rank, const at::Tensor& slice) {
      if (rank == world.rank()) own.push_back(slice);
    });
    const at::Tensor all = world.gather(own.size() == 1 ? own.front() : at::cat(own));
    int64_t place = 0;
    for_each_slice(bucket, tensors, world.size(), [&](int, at::Tensor slice) {
      slice.copy_(all.narrow(0, place, slice.numel()));
      place += slice.numel();
    });
  }
}

}  // namespace decovec
