// What a held-out set in the form of training data says of a model.
#pragma once
#include <string>

#include <ATen/core/Tensor.h>

#include "decovec/eval/tasks.hpp"
#include "decovec/loss/relation.hpp"

namespace decovec {

/// Every query against the documents that the relation says it meets, by cosine:
/// - accuracy: the share of queries nearer to their positive than to every negative;
/// - negatives_above: the share of negatives at least as near as the positive;
/// - margin: the mean of the positive's cosine less a negative's.
/// The last two are of hard negatives, or of in-batch negatives where there are no hard ones. A query with
/// several positives has the least near of them. Where the relation scores every document, first of all:
/// - spearman of the cosine of each document and its own query with the score.
/// Kind: "held_out". queries [N, D], documents [M, D]. Throws
/// std::invalid_argument for shapes that do not fit the relation and queries without a positive.
TaskReport measure(const std::string& name, const Relation& relation, const at::Tensor& queries,
                   const at::Tensor& documents);

}  // namespace decovec
