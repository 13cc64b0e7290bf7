// The loop of a training run: stages, steps, checkpoints.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/row_source.hpp"
#include "decovec/data/batch_sampler.hpp"
#include "decovec/data/dataset.hpp"
#include "decovec/loss/batch_loss.hpp"
#include "decovec/train/train.hpp"
#include "io/file_lock.hpp"
#include "train/batches_ahead.hpp"
#include "train/checkpoint.hpp"
#include "train/evaluation.hpp"
#include "train/grad_cache.hpp"
#include "train/optimizer.hpp"
#include "train/step_batch.hpp"
#include "train/weights.hpp"

namespace decovec {

class Trainer {
 public:
  /// Reads the data sets and checks the recipe against them.
  Trainer(Embedder& model, const Recipe& recipe, const TrainOptions& options);
  TrainResult run();

 private:
  /// A stage's data in the order of its names.
  struct StageData {
    std::vector<TrainingSet> sets;
    BatchSampler sampler;
    std::vector<LossTerm> losses;
  };

  // Before the first step: trainer_start.cpp.
  static Embedder& with_adapter(Embedder& model, const Recipe& recipe);
  void check_recipe() const;
  void load_datasets();
  void check_room(const DataRecipe& data) const;
  void set_prompts();
  void resume_or_start();
  void check_same_on_all_ranks() const;
  void take_outputs();
  void check_outputs_free() const;
  [[noreturn]] static void fail_taken(const StageRecipe& stage);
  StageData stage_data(const StageRecipe& stage) const;
  PreparedBatch prepare(const StageRecipe& stage, StageData& data, int64_t step) const;

  TrainResult run_stage(const StageRecipe& stage);
  StepReport run_step(const StageRecipe& stage, const StageData& data, const StepBatch& batch);
  bool evaluation_due(const StageRecipe& stage) const;
  bool evaluate(const StageRecipe& stage);
  void check_weights(const StageRecipe& stage) const;
  void finish_stage(const StageRecipe& stage);
  void checkpoint(const StageRecipe& stage, std::vector<int64_t> positions);
  bool stop_requested();
  void add_pace(StepReport& report);

  Embedder& model_;
  const Recipe& recipe_;
  const TrainOptions& options_;
  World alone_;
  World& world_;
  std::map<std::string, Dataset> datasets_;
  std::map<std::string, RowSource> sources_;
  Evaluations evaluations_;
  Weights weights_;
  std::optional<FileLock> lock_;  // of rank 0, on the folder of checkpoints
  OrderedJson fingerprint_;       // of rank 0, which alone writes
  OptimizerState optimizer_;
  Progress progress_;
  int64_t saved_step_ =
      -1;  // the total step whose weights were checked, and saved where checkpoints are kept
  int64_t micro_batch_tokens_ = 0;  // the stage's, or fewer since memory ran out
  double recent_seconds_ = 0, recent_tokens_ = 0, recent_queries_ = 0;
};

}  // namespace decovec
