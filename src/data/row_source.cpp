#include "data/row_source.hpp"

#include <utility>

namespace decovec {
RowSource retrieval_rows(const Dataset& dataset, int64_t negatives) {
  const auto draw = [dataset, negatives](int64_t index, RandomKey key) {
    Example example = dataset.example(index);
    DrawnRow row{.example = index, .query = std::move(example.query), .documents = {}};
    const auto add = [&](const std::vector<std::string>& texts, const std::vector<double>& scores,
                         size_t place, Role role) {
      row.documents.push_back(
          {.text = texts[place], .role = role, .score = scores.empty() ? std::nan("") : scores[place]});
    };
    add(example.positives, example.positive_scores,
        random_below(key.with("positive"), example.positives.size()), Role::positive);
    const std::vector<int64_t> order =
        random_permutation(key.with("negatives"), static_cast<int64_t>(example.negatives.size()));
    for (size_t i = 0; i < order.size() && static_cast<int64_t>(i) < negatives; ++i)
      add(example.negatives, example.negative_scores, static_cast<size_t>(order[i]), Role::negative);
    row.answers = std::move(example.positives);
    return row;
  };
  return {.name = dataset.name(),
          .size = dataset.size(),
          .draw = draw,
          .has_negatives = negatives > 0 && dataset.facts().with_negatives > 0,
          .first_unscored = dataset.facts().first_unscored};
}

}  // namespace decovec
