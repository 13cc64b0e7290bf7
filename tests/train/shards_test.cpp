#include "train/shards.hpp"

#include <gtest/gtest.h>

#include "decovec/world/random.hpp"
#include "train/thread_world.hpp"
#include "train/whole.hpp"

namespace decovec {
namespace {

/// Of several types and shapes, some with fewer elements than there are ranks.
std::vector<at::Tensor> tensors_of(int rank) {
  const RandomKey key = RandomKey(1).with(static_cast<uint64_t>(rank));
  std::vector<at::Tensor> tensors;
  for (const auto& [type, shape] :
       std::vector<std::pair<at::ScalarType, std::vector<int64_t>>>{{at::kDouble, {3, 5}},
                                                                    {at::kDouble, {1}},
                                                                    {at::kDouble, {2, 2, 7}},
                                                                    {at::kFloat, {4}},
                                                                    {at::kDouble, {0, 3}},
                                                                    {at::kBFloat16, {9, 2}},
                                                                    {at::kBFloat16, {11}}})
    tensors.push_back(random_normal(key.with(tensors.size()), shape, 1).to(type));
  return tensors;
}

TEST(Shards, SumsComeToTheirOwnersAndGoBackWhole) {
  for (const int ranks : {1, 2, 3, 7}) {
    std::vector<at::Tensor> sums = tensors_of(0);
    if (ranks > 1)
      for (at::Tensor& sum : sums) sum = sum.to(at::kDouble);
    for (int rank = 1; rank < ranks; ++rank)
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += tensors_of(rank)[i].to(at::kDouble);
    ThreadRanks(ranks).run([&](World& world) {
      const std::vector<at::Tensor> own = reduce_to_owners(tensors_of(world.rank()), world);
      int64_t elements = 0;
      for (size_t i = 0; i < own.size(); ++i) {
        EXPECT_EQ(own[i].dim(), 1);
        elements += own[i].numel();
        const at::ScalarType type = tensors_of(0)[i].scalar_type();
        EXPECT_EQ(own[i].scalar_type(), ranks > 1 && type == at::kBFloat16 ? at::kFloat : type);
      }
      EXPECT_NEAR(static_cast<double>(elements), 77.0 / ranks, 6);  // no rank has much more than another
      const std::vector<at::Tensor> all = test::whole(own, sums, world);
      for (size_t i = 0; i < sums.size(); ++i) {
        const double tolerance = all[i].scalar_type() == at::kDouble ? 1e-15 : 1e-6;
        EXPECT_TRUE(all[i].to(at::kDouble).allclose(sums[i].to(at::kDouble), tolerance, tolerance)) << i;
      }
    });
  }
}

}  // namespace
}  // namespace decovec
