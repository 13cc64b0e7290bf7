#include "decovec/model/heads.hpp"

#include <ATen/ATen.h>

namespace decovec {
namespace {

struct Apply {
  at::Tensor input;

  at::Tensor operator()(const Normalize&) const {
    return input / input.norm(2, {-1}, /*keepdim=*/true).clamp_min(1e-12);
  }
};

}  // namespace

at::Tensor apply(const std::vector<Head>& heads, at::Tensor pooled) {
  for (const Head& head : heads) pooled = std::visit(Apply{pooled}, head);
  return pooled;
}

}  // namespace decovec
