#pragma once
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/loss/embeddings.hpp"
#include "decovec/loss/relation.hpp"

namespace decovec {

/// Leaves negatives out that are likely right answers: those whose cosine lies above the positive's less a
/// margin. Curated negatives stay. With several positives the least counts.
struct ScoreFilter {
  double margin = 0;      ///< in cosines, or in parts of the positive's cosine; below 0 it lets more stay
  bool relative = false;  ///< threshold: positive - |positive| * margin instead of positive - margin
};

struct InfoNceOptions {
  /// Cosines are divided by it. Smaller looks harder at the hardest negatives; published models use 0.01 to
  /// 0.05. At least 1e-6, where float32's rounding of a cosine is all that is left.
  double temperature = 0.05;
  /// What a row's positive competes with. The first is query_to_document or query_to_positive.
  std::vector<Direction> directions = {Direction::query_to_document};
  /// One softmax over the candidates of all directions. False: the mean over directions of a softmax for
  /// each, for those that hold the right match (query_to_document, query_to_positive and document_to_query).
  bool joint = true;
  std::optional<ScoreFilter> filter = {};        ///< by the model's own cosines, in every direction
  std::optional<ScoreFilter> guide_filter = {};  ///< by the guide's cosines, in every direction
  /// This times its own cosine, without a gradient, is added to the logit of each document of another query.
  double in_batch_hardness = 0;
  double hard_negative_hardness = 0;  ///< the same for each hard negative of the query
};

/// Throws std::invalid_argument for options out of range, and directions that do not go together.
void validate(const InfoNceOptions& options);

/// These rows' share of the mean over the batch's queries of -log softmax of the positive's cosine /
/// temperature among the row's candidates. With several positives, the mean over them, each without the
/// others among its candidates.
///
/// Rows need not have unit length; cosine is taken here, in float32 at least; a zero row has cosine 0.
/// Returns a scalar, with a graph where the embeddings have one. Throws std::invalid_argument for shapes that
/// do not fit the relation, options out of range, a guide's filter without its vectors, and queries without a
/// positive. Sources and published forms: docs/losses.md.
at::Tensor info_nce(const Embeddings& embeddings, const Relation& relation,
                    const InfoNceOptions& options = {}, FilterCounts* counts = nullptr);

}  // namespace decovec
