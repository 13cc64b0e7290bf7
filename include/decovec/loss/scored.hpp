// Losses that bring similarities near to scores, of people or of a teacher.
#pragma once
#include <optional>

#include <ATen/core/Tensor.h>

#include "decovec/loss/embeddings.hpp"
#include "decovec/loss/relation.hpp"
#include "decovec/loss/similarity.hpp"

namespace decovec {

/// These rows' share of the mean over queries of the squared difference of cosine and score, averaged over a
/// query's own documents. Throws std::invalid_argument for documents without a score and shapes that do not
/// fit. Source: Reimers and Gurevych 2019, arXiv:1908.10084.
at::Tensor cosine_mse(const Embeddings& embeddings, const Relation& relation);

struct MarginMseOptions {
  Similarity similarity = Similarity::dot;
};

/// These rows' share of the mean over queries of ((similarity of positive - similarity of negative) - (score
/// of positive - score of negative))^2, averaged over a query's pairs of a positive and a hard negative of
/// its own; a query without hard negatives adds 0. Throws std::invalid_argument for documents without a score
/// and shapes that do not fit. Source: Hofstätter et al. 2020, arXiv:2010.02666.
at::Tensor margin_mse(const Embeddings& embeddings, const Relation& relation,
                      const MarginMseOptions& options = {});

struct KlDivergenceOptions {
  double temperature = 1.0;                        ///< similarities are divided by it
  std::optional<double> teacher_temperature = {};  ///< scores are divided by it; none: by `temperature`
  Similarity similarity = Similarity::dot;
};

/// These rows' share of the mean over queries of temperature^2 * KL(softmax(scores / teacher_temperature) ||
/// softmax(similarities / temperature)) over a query's own documents; with one document it is 0. Throws
/// std::invalid_argument for documents without a score, temperatures that are not positive, and shapes that
/// do not fit. Source: Hinton et al. 2015, arXiv:1503.02531.
at::Tensor kl_divergence(const Embeddings& embeddings, const Relation& relation,
                         const KlDivergenceOptions& options = {});

}  // namespace decovec
