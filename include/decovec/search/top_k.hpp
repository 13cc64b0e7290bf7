#pragma once
#include <cstdint>

#include <ATen/core/Tensor.h>

namespace decovec {

/// The best rows of a corpus for each query.
struct Neighbours {
  at::Tensor indices;  ///< [Q, k] int64, best first
  at::Tensor scores;   ///< [Q, k] float32
};

struct TopKOptions {
  /// Bytes of scores held at once.
  int64_t tile_bytes = int64_t{64} << 20;
};

/// The k rows of `corpus` [N, D] with the largest dot product with each row of `queries` [Q, D]; k is cut to
/// N. Equal scores are ordered by row. Unit-length rows make it the cosine.
Neighbours top_k(const at::Tensor& queries, const at::Tensor& corpus, int64_t k,
                 const TopKOptions& options = {});

}  // namespace decovec
