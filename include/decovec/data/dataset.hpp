#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace decovec {

/// One line of a training set.
struct Example {
  std::string query;
  std::vector<std::string> positives;  ///< at least one
  std::vector<std::string> negatives;  ///< hard negatives, perhaps none
  /// How near each is to the query, by people or a teacher, in the set's own unit; both empty: unknown.
  std::vector<double> positive_scores = {}, negative_scores = {};
};

/// A training set in memory.
struct Dataset {
  std::string name;
  std::vector<Example> examples;

  /// Reads JSONL files of {"query": "...", "pos": ["..."], "neg": ["..."]} ("neg" may be absent), perhaps
  /// with "pos_scores" and "neg_scores", one number for each text. A text that a list repeats counts once.
  /// Other keys (ids, types) are not read; one that looks like a slip of the first three ("negatives") is an
  /// error. Strict otherwise: a wrong line is a std::runtime_error that names file, line and field, a
  /// positive among its own negatives included, and so is a file without lines.
  static Dataset load(const std::string& name, const std::vector<std::filesystem::path>& files);
};

}  // namespace decovec
