// What losses share: checks, rows of unit length, and each row's own documents.
#pragma once
#include <string_view>

#include <ATen/core/Tensor.h>

#include "decovec/loss/embeddings.hpp"
#include "decovec/loss/similarity.hpp"

namespace decovec {

/// Embeddings that were checked, in float32 or wider, with their range of rows spelled out.
struct Rows {
  at::Tensor queries, documents;            ///< of the whole batch
  at::Tensor unit_queries, unit_documents;  ///< as given: perhaps undefined
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
  at::Tensor own_queries() const { return queries.narrow(0, begin, size()); }
};

/// Throws std::invalid_argument, in the name of the loss `where`, for shapes, types or devices that do not
/// fit the relation or each other, and for a batch without queries.
Rows checked_rows(std::string_view where, const Embeddings& embeddings, const Relation& relation);

/// Rows divided by their lengths; a zero row stays one.
at::Tensor unit_rows(const at::Tensor& rows);

/// The documents drawn for each of some rows, K at most; rows with fewer are filled up.
struct OwnDocuments {
  at::Tensor index;     ///< int64 [rows, K]: 0 where there is none
  at::Tensor positive;  ///< bool [rows, K]
  at::Tensor negative;  ///< bool [rows, K]: hard, curated or not
  at::Tensor present;   ///< bool [rows, K]
  at::Tensor score;     ///< [rows, K] in the rows' type: 0 where there is none
};

/// On the rows' device. `where` needs scores: throws std::invalid_argument for a document without.
OwnDocuments own_documents(std::string_view where, const Rows& rows, const Relation& relation,
                           bool needs_scores);

/// [rows, K]: how near each row's query is to its own documents.
at::Tensor own_similarity(Similarity kind, const Rows& rows, const OwnDocuments& own);

/// How near rows are to rows, pair by pair: [..., D] and [..., D] to [...].
at::Tensor pair_similarity(Similarity kind, const at::Tensor& a, const at::Tensor& b);

/// The mean of values [rows, ...] over what `counted` marks of each row, summed over rows; rows of which
/// nothing counts add 0.
at::Tensor sum_of_row_means(const at::Tensor& values, const at::Tensor& counted);

/// 0, without a graph, in the rows' type.
at::Tensor no_share(const Rows& rows);

}  // namespace decovec
