#include "decovec/search/top_k.hpp"

#include <ATen/ATen.h>

#include "io/error.hpp"

namespace decovec {
namespace {

// A score and its row as one integer: larger for a larger score, then for a smaller row. So keys are all
// different, and any selection of the largest ones is the same on every device and for every tiling.
constexpr int64_t kRowMask = 0xffffffff;

// What a score costs until its tile is reduced: itself (4), its key (8) and the mask of the key's bits (4).
constexpr int64_t kBytesPerScore = 16;

// The bits of a float as an integer of the same order (negative floats count downwards). Its own inverse.
at::Tensor ordered_bits(const at::Tensor& bits) {
  return bits.bitwise_xor(bits.bitwise_right_shift(31).bitwise_and_(0x7fffffff));
}

// scores [Q, n] of the corpus rows from `first_row` on.
at::Tensor make_keys(const at::Tensor& scores, int64_t first_row) {
  const at::Tensor bits = scores.view(at::kInt);
  const at::Tensor rows = at::arange(kRowMask - first_row, kRowMask - first_row - scores.size(1), -1,
                                     bits.options().dtype(at::kLong));
  return ordered_bits(bits).to(at::kLong).bitwise_left_shift_(32).bitwise_or_(rows);
}

Neighbours decode(const at::Tensor& keys) {
  const at::Tensor bits = ordered_bits(keys.bitwise_right_shift(32).to(at::kInt));
  return {kRowMask - keys.bitwise_and(kRowMask), bits.view(at::kFloat)};
}

at::Tensor largest(const at::Tensor& keys, int64_t k) {
  return std::get<0>(keys.topk(std::min(k, keys.size(1)), 1, /*largest=*/true, /*sorted=*/true));
}

void check_scores(const at::Tensor& scores, int64_t first_query, int64_t first_row) {
  const at::Tensor bad = scores.isnan();
  if (!bad.any().item<bool>()) return;
  const at::Tensor where = bad.nonzero()[0].cpu();
  reject(
      "top_k: query {} and corpus row {}: the score is not a number; check both vectors for NaN and infinity",
      first_query + where[0].item<int64_t>(), first_row + where[1].item<int64_t>());
}

void check_matrix(const char* name, const at::Tensor& matrix) {
  if (!matrix.defined() || matrix.dim() != 2 || !matrix.is_floating_point())
    reject("top_k: {}: expected a matrix of floats, got {}", name,
           matrix.defined()
               ? fmt::format("{} dimensions of {}", matrix.dim(), c10::toString(matrix.scalar_type()))
               : "an undefined tensor");
}

Neighbours search(const at::Tensor& queries, const at::Tensor& corpus, int64_t k, int64_t tile_bytes) {
  const int64_t rows = corpus.size(0);
  const auto options = corpus.options().dtype(at::kLong);
  if (rows == 0 || queries.size(0) == 0) return decode(at::empty({queries.size(0), k}, options));
  // Wide tiles first: a tile of all rows needs no merging.
  const int64_t tile = std::max<int64_t>(1, tile_bytes / kBytesPerScore);
  const int64_t row_tile = std::min(rows, std::max(tile / std::min<int64_t>(queries.size(0), 64), k));
  const int64_t query_tile = std::max<int64_t>(1, tile / row_tile);

  std::vector<at::Tensor> best;
  for (int64_t q = 0; q < queries.size(0); q += query_tile) {
    const at::Tensor some_queries =
        queries.slice(0, q, std::min(q + query_tile, queries.size(0))).to(at::kFloat);
    at::Tensor keys;
    for (int64_t row = 0; row < rows; row += row_tile) {
      const at::Tensor some_rows = corpus.slice(0, row, std::min(row + row_tile, rows)).to(at::kFloat);
      const at::Tensor scores = at::matmul(some_queries, some_rows.t());
      scores.add_(0.0f);  // -0 becomes 0: the two are equal scores
      check_scores(scores, q, row);
      const at::Tensor tile_keys = largest(make_keys(scores, row), k);
      keys = keys.defined() ? largest(at::cat({keys, tile_keys}, 1), k) : tile_keys;
    }
    best.push_back(keys);
  }
  return decode(at::cat(best));
}

}  // namespace

Neighbours top_k(const at::Tensor& queries, const at::Tensor& corpus, int64_t k, const TopKOptions& options) {
  check_matrix("queries", queries);
  check_matrix("corpus", corpus);
  if (queries.size(1) != corpus.size(1))
    reject("top_k: expected queries and corpus of one width, got {} and {}", queries.size(1), corpus.size(1));
  if (queries.device() != corpus.device())
    reject("top_k: expected queries and corpus on one device, got {} and {}", queries.device().str(),
           corpus.device().str());
  if (k < 1) reject("top_k: k: expected 1 or more, got {}", k);
  if (options.tile_bytes < 1) reject("top_k: tile_bytes: expected 1 or more, got {}", options.tile_bytes);
  if (corpus.size(0) > kRowMask)
    reject("top_k: corpus: expected at most {} rows, got {}", kRowMask, corpus.size(0));
  return at_boundary("top_k", [&] {
    return search(queries.detach(), corpus.detach(), std::min(k, corpus.size(0)), options.tile_bytes);
  });
}

}  // namespace decovec
