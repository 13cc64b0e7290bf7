// Rows whose draws a test chooses.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "data/row_source.hpp"

namespace decovec::test {

/// An example with the positive and the negatives at these places of its lists.
inline DrawnRow drawn(const Dataset& set, int64_t number, size_t positive,
                      const std::vector<size_t>& negatives) {
  const Example example = set.example(number);
  const auto document = [](const std::vector<std::string>& texts, const std::vector<double>& scores,
                           size_t place, Role role) {
    return DrawnDocument{
        .text = texts.at(place), .role = role, .score = scores.empty() ? std::nan("") : scores.at(place)};
  };
  DrawnRow row{.example = number, .query = example.query, .documents = {}, .answers = example.positives};
  row.documents.push_back(document(example.positives, example.positive_scores, positive, Role::positive));
  for (const size_t negative : negatives)
    row.documents.push_back(document(example.negatives, example.negative_scores, negative, Role::negative));
  return row;
}

/// These rows, whatever the key.
inline RowSource fixed_rows(const std::string& name, std::vector<DrawnRow> rows) {
  return {.name = name, .size = static_cast<int64_t>(rows.size()), .draw = [rows](int64_t index, RandomKey) {
            return rows.at(static_cast<size_t>(index));
          }};
}

}  // namespace decovec::test
