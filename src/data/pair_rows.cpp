#include <algorithm>
#include <memory>
#include <utility>

#include "data/faults.hpp"
#include "data/row_source.hpp"
#include "io/json.hpp"

namespace decovec {
namespace {

// Texts that are right answers to each other: [2 * pairs] of (text, its partner), as ids, sorted.
struct PairIndex {
  std::vector<uint32_t> order;  // the examples that are pairs of the threshold
  std::vector<std::pair<uint64_t, uint64_t>> partners;
};

PairIndex index_pairs(const Dataset& dataset, double threshold) {
  std::vector<int8_t> reaches(static_cast<size_t>(dataset.size()));
  for_each_example(dataset, [&](int64_t i, const Example& example) {
    reaches[static_cast<size_t>(i)] = example.positive_scores[0] >= threshold;
  });
  PairIndex index;
  for (size_t i = 0; i < reaches.size(); ++i)
    if (reaches[i]) index.order.push_back(static_cast<uint32_t>(i));
  if (index.order.empty())
    fail("data set '{}': expected pairs with a score of the threshold {} or more, got none of {}",
         dataset.name(), threshold, dataset.size());
  index.partners.resize(2 * index.order.size());
  parallel_for(0, static_cast<int64_t>(index.order.size()), /*grain_size=*/1024,
               [&](int64_t begin, int64_t end) {
                 for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
                   const Example pair = dataset.example(index.order[i]);
                   const uint64_t a = id_of(dataset, hash_of(pair.query)),
                                  b = id_of(dataset, hash_of(pair.positives[0]));
                   index.partners[2 * i] = {a, b};
                   index.partners[2 * i + 1] = {b, a};
                 }
               });
  std::sort(index.partners.begin(), index.partners.end());
  return index;
}

// Throws where an example is not two texts and their score.
void check_pairs(const Dataset& dataset) {
  check_numbers_fit(dataset);
  std::vector<int8_t> wrong(static_cast<size_t>(dataset.size()));
  for_each_example(dataset, [&](int64_t i, const Example& example) {
    wrong[static_cast<size_t>(i)] =
        example.positives.size() != 1 || !example.negatives.empty() || example.positive_scores.empty();
  });
  Faults faults;
  for (size_t i = 0; i < wrong.size(); ++i) {
    if (!wrong[i]) continue;
    const Example example = dataset.example(static_cast<int64_t>(i));
    faults.add(static_cast<int64_t>(i),
               fmt::format("{}, {} and {}", counted(example.positives.size(), "positive"),
                           counted(example.negatives.size(), "negative"),
                           counted(example.positive_scores.size(), "score")));
  }
  faults.refuse(dataset, "two texts and their score in each example");
}

}  // namespace

RowSource pair_rows(const Dataset& dataset, std::optional<double> threshold) {
  check_pairs(dataset);
  if (!threshold) {
    const auto draw = [dataset](int64_t index, RandomKey) {
      Example pair = dataset.example(index);
      return DrawnRow{.example = index,
                      .query = std::move(pair.query),
                      .documents = {{.text = std::move(pair.positives[0]),
                                     .role = Role::scored,
                                     .score = pair.positive_scores[0]}}};
    };
    return {.name = dataset.name(),
            .size = dataset.size(),
            .draw = draw,
            .has_positives = false,
            .first_unscored = -1};
  }
  const auto index = std::make_shared<const PairIndex>(index_pairs(dataset, *threshold));
  const auto draw = [dataset, index](int64_t place, RandomKey) {
    const int64_t at = index->order[static_cast<size_t>(place / 2)];
    Example pair = dataset.example(at);
    std::string &query = pair.query, &document = pair.positives[0];
    if (place % 2 == 1) std::swap(query, document);
    const uint64_t own = id_of(dataset, hash_of(query)), other = id_of(dataset, hash_of(document));
    DrawnRow row{.example = at,
                 .query = std::move(query),
                 .documents = {{.text = std::move(document),
                                .role = Role::positive,
                                .score = pair.positive_scores[0],
                                .id = other}}};
    row.answer_ids = {own};
    auto partner =
        std::lower_bound(index->partners.begin(), index->partners.end(), std::pair(own, uint64_t{0}));
    for (; partner != index->partners.end() && partner->first == own; ++partner)
      row.answer_ids.push_back(partner->second);
    return row;
  };
  return {.name = dataset.name(),
          .size = 2 * static_cast<int64_t>(index->order.size()),
          .draw = draw,
          .first_unscored = -1};
}

}  // namespace decovec
