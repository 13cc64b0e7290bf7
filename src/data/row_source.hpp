// How rows of a batch are drawn from a data set, by what the set is for.
#pragma once
#include <cmath>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "decovec/data/dataset.hpp"
#include "decovec/loss/relation.hpp"
#include "decovec/world/random.hpp"

namespace decovec {

struct DrawnDocument {
  std::string text;
  Role role = Role::positive;
  double score = std::nan("");  ///< how near it is to the query; NaN: unknown
  uint64_t id = 0;              ///< what its text is an example of; 0: of nothing but itself
};

/// A query with the documents drawn for it, the positive first.
struct DrawnRow {
  int64_t example = 0;  ///< the data set's example that the query is from
  std::string query;
  std::vector<DrawnDocument> documents;
  std::vector<std::string> answers = {};  ///< texts of right answers, drawn or not
  std::vector<uint64_t> answer_ids = {};  ///< ids of right answers
};

/// The rows that a set has in an epoch.
struct RowSource {
  std::string name;  ///< of the data set
  int64_t size = 0;
  /// Row `index` below size, with what `key` draws for it. Called from several threads.
  std::function<DrawnRow(int64_t index, RandomKey key)> draw;
  bool has_positives = true;   ///< false: documents are Role::scored
  bool has_negatives = false;  ///< whether some rows have negatives of their own
  int64_t first_unscored = 0;  ///< the first example without scores; -1: all have them
};

/// A row's documents are one of its example's positives and `negatives` of its negatives, or all where there
/// are fewer.
RowSource retrieval_rows(const Dataset& dataset, int64_t negatives);

/// Classification and clustering by examples: an example's query is a text and its one positive the label. A
/// row's positive is another text of the label and its negatives are texts of other labels, each text with
/// the same probability. All texts of a label answer each other. A text that is there twice counts once.
///
/// Throws std::runtime_error that counts the wrong examples and names the first for other than one label,
/// empty labels, negatives, texts with several labels, labels with one text alone, and fewer than two labels.
/// Memory: 8 bytes an example, and while this runs 24.
///
/// Source: Lee et al. 2024, NV-Embed, arXiv:2405.17428v3, of data that is not for retrieval. That negatives
/// are drawn by text and not by label is our reading.
RowSource labelled_rows(const Dataset& dataset, int64_t negatives);

/// Pairs with scores: an example's query and its one positive, with a positive_score.
///
/// With a threshold, a pair of at least this score is two rows, one in each direction, other pairs are none,
/// and all texts that a text is paired with so answer it, itself among them. Without, each pair is one row
/// and its document is Role::scored, for losses that learn from scores.
///
/// Throws std::runtime_error that counts the wrong examples and names the first for other than one positive,
/// negatives, no scores, and no pair that reaches the threshold. Memory: 36 bytes a pair that does.
///
/// Source of the directions and the threshold (4 of 5): as above, for STS12, STS22 and STS-B; the negatives
/// there are mined, so pairs below the threshold are left out.
RowSource pair_rows(const Dataset& dataset, std::optional<double> threshold);

}  // namespace decovec
