#include <algorithm>
#include <limits>

#include <ATen/ATen.h>

#include "decovec/eval/classifiers.hpp"
#include "decovec/world/random.hpp"
#include "io/error.hpp"

namespace decovec {
namespace {

struct Assignment {
  at::Tensor cluster;   // [N] int64
  at::Tensor distance;  // [N], squared, to the own centre
  double inertia() const { return distance.sum(at::kDouble).item<double>(); }
};

at::Tensor squared_distances(const at::Tensor& points, const at::Tensor& centre) {
  return (points - centre).square_().sum(1);
}

// Draws a row with a probability proportional to its weight; any row where all weights are 0.
int64_t draw(const at::Tensor& weights, RandomKey key) {
  const at::Tensor sums = weights.to(at::kDouble).cumsum(0);
  const double total = sums[-1].item<double>();
  if (!(total > 0)) return static_cast<int64_t>(random_below(key, static_cast<uint64_t>(weights.size(0))));
  const double* begin = sums.const_data_ptr<double>();
  const double* end = begin + sums.numel();
  // The first sum beyond the number drawn; its row has a weight above 0.
  const double* found = std::upper_bound(begin, end, random_uniform(key) * total);
  return std::min<int64_t>(found - begin, sums.numel() - 1);
}

// k-means++: each next centre is a point drawn by its squared distance to the centres so far.
at::Tensor first_centres(const at::Tensor& points, int64_t clusters, RandomKey key) {
  std::vector<at::Tensor> centres;
  at::Tensor distance = at::ones({points.size(0)}, points.options());
  for (int64_t i = 0; i < clusters; ++i) {
    const int64_t row = draw(distance, key.with(static_cast<uint64_t>(i)));
    centres.push_back(points[row]);
    const at::Tensor to_this = squared_distances(points, centres.back());
    distance = i == 0 ? to_this : at::minimum(distance, to_this);
  }
  return at::stack(centres);
}

Assignment assign(const at::Tensor& points, const at::Tensor& squared_norms, const at::Tensor& centres) {
  const at::Tensor distances = at::addmm(centres.square().sum(1), points, centres.t(), 1,
                                         -2);  // less |point|^2, the same for each centre
  const auto [distance, cluster] = distances.min(1);
  return {cluster, (distance + squared_norms).clamp_min_(0)};
}

// The means of the clusters. An empty one takes the farthest point from a cluster that has others.
at::Tensor new_centres(const at::Tensor& points, const at::Tensor& centres, const Assignment& now) {
  const int64_t clusters = centres.size(0);
  at::Tensor cluster = now.cluster, counts = at::bincount(cluster, {}, clusters);
  const at::Tensor empty = (counts == 0).nonzero().squeeze(1);
  if (empty.numel() > 0) {
    const at::Tensor alone = counts.index_select(0, cluster) == 1;
    const auto [distance, row] = now.distance.masked_fill(alone, 0).topk(empty.numel());
    const at::Tensor moved = row.masked_select(distance > 0);
    cluster = cluster.index_copy(0, moved, empty.narrow(0, 0, moved.numel()));
    counts = at::bincount(cluster, {}, clusters);
  }
  const at::Tensor sums = at::zeros_like(centres).index_add_(0, cluster, points);
  const at::Tensor means = sums / counts.clamp_min(1).unsqueeze(1);
  return at::where((counts > 0).unsqueeze(1), means, centres);
}

Assignment one_run(const at::Tensor& points, int64_t clusters, int64_t iterations, RandomKey key) {
  const at::Tensor squared_norms = points.square().sum(1);
  at::Tensor centres = first_centres(points, clusters, key);
  Assignment now = assign(points, squared_norms, centres);
  for (int64_t i = 0; i < iterations; ++i) {
    centres = new_centres(points, centres, now);
    Assignment next = assign(points, squared_norms, centres);
    const bool settled = next.cluster.equal(now.cluster);
    now = std::move(next);
    if (settled) break;
  }
  return now;
}

}  // namespace

std::vector<int64_t> k_means(const at::Tensor& points, int64_t clusters, const KMeansOptions& options) {
  return at_boundary("k_means", [&] {
    if (!points.defined() || points.dim() != 2) reject("k_means: points: expected a matrix of vectors");
    if (clusters < 1 || clusters > points.size(0))
      reject("k_means: clusters: expected 1 to {}, the number of points, got {}", points.size(0), clusters);
    if (options.restarts < 1) reject("k_means: restarts: expected 1 or more, got {}", options.restarts);
    if (options.iterations < 0) reject("k_means: iterations: expected 0 or more, got {}", options.iterations);
    at::Tensor rows = points.detach().to(at::kCPU, at::kFloat);
    if (!rows.isfinite().all().item<bool>())
      reject("k_means: points: a vector holds a value that is not finite");
    rows = (rows - rows.mean(0)).contiguous();  // distances lose fewer bits near the origin

    const RandomKey key = RandomKey(options.seed).with("k_means");
    Assignment best;
    double least = std::numeric_limits<double>::infinity();
    for (int64_t restart = 0; restart < options.restarts; ++restart) {
      const Assignment run =
          one_run(rows, clusters, options.iterations, key.with(static_cast<uint64_t>(restart)));
      if (const double inertia = run.inertia(); restart == 0 || inertia < least) {
        least = inertia;
        best = run;
      }
    }
    const int64_t* labels = best.cluster.const_data_ptr<int64_t>();
    return std::vector<int64_t>(labels, labels + best.cluster.numel());
  });
}

}  // namespace decovec
