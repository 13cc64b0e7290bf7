// What training measures on held-out sets. It changes nothing of the training.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "decovec/data/dataset.hpp"
#include "decovec/train/train.hpp"

namespace decovec {

/// The held-out sets of a recipe.
class Evaluations {
 public:
  /// Reads the sets of training's layout; task folders are read each time they are measured. Throws
  /// std::invalid_argument for names that repeat and sets without task and files.
  explicit Evaluations(const Recipe& recipe);

  bool empty() const { return sets_.empty(); }

  /// Each rank encodes its share of the texts; all get rank 0's figures. `micro_batch_tokens` are computed at
  /// once. Throws std::runtime_error for a task folder that is broken.
  std::vector<EvaluatedSet> measure(const Embedder& model, World& world, int64_t micro_batch_tokens) const;

 private:
  struct Set {
    EvaluationRecipe recipe;
    std::optional<Dataset> dataset;  // of files
  };
  std::vector<Set> sets_;
};

/// The figure that `best` names ("sts.spearman"), turned so that more is better. Throws std::runtime_error
/// that lists what there is where it is not among them.
double figure_of_best(const std::string& best, const std::vector<EvaluatedSet>& sets);

}  // namespace decovec
