#pragma once
#include <cstdint>

#include <ATen/core/Tensor.h>

namespace decovec {

/// The best rows of a corpus for each query, on the device of the vectors.
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
///
/// Exact search, in float32 whatever float type the vectors have, on any device. Throws std::invalid_argument
/// for shapes that do not fit, k below 1, and a score that is not a number (it names the query and the row).
Neighbours top_k(const at::Tensor& queries, const at::Tensor& corpus, int64_t k,
                 const TopKOptions& options = {});

}  // namespace decovec
