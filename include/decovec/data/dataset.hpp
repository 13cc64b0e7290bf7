#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace decovec {

/// A query with its right answers, and perhaps wrong ones.
struct Example {
  std::string query;
  std::vector<std::string> positives;  ///< at least one
  std::vector<std::string> negatives;  ///< hard negatives, perhaps none
  /// How near each is to the query, by people or a teacher, in the set's own unit; both empty: unknown.
  std::vector<double> positive_scores = {}, negative_scores = {};
};

/// How many texts an example has.
struct ExampleCounts {
  int64_t positives = 0, negatives = 0;
};

/// What is known of all examples of a set without reading them again.
struct DatasetFacts {
  int64_t with_negatives = 0;   ///< examples that have negatives
  int64_t first_unscored = -1;  ///< the first example without positive_scores; -1: all have them
  uint64_t content = 0;         ///< a hash of all examples in their order
};

/// A training set: examples by their number. A copy is cheap and shares them; const calls are thread-safe.
class Dataset {
 public:
  /// Examples in memory. Throws std::invalid_argument for an example without positives, or scores that are
  /// not one for each text.
  Dataset(std::string name, std::vector<Example> examples);

  /// Reads JSONL files of {"query": "...", "pos": ["..."], "neg": ["..."]} ("neg" may be absent), perhaps
  /// with "pos_scores" and "neg_scores", one number for each text. A text that a list repeats counts once.
  /// Other keys (ids, types) are not read; one that looks like a slip of the first three ("negatives") is an
  /// error. Strict otherwise: a wrong line is a std::runtime_error that names file, line and field, a
  /// positive among its own negatives included, and so is a file without lines.
  static Dataset load(const std::string& name, const std::vector<std::filesystem::path>& files);

  const std::string& name() const { return name_; }
  int64_t size() const;
  const DatasetFacts& facts() const { return facts_; }
  /// Without reading the example. Throws std::invalid_argument for an index that is not below size().
  ExampleCounts counts(int64_t index) const;
  /// Reads the example. Throws std::invalid_argument for an index that is not below size().
  Example example(int64_t index) const;

 private:
  const Example& at(int64_t index) const;

  std::string name_;
  std::shared_ptr<const std::vector<Example>> examples_;
  DatasetFacts facts_;
};

}  // namespace decovec
