// The loop of a training run: stages, steps, checkpoints.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "decovec/data/batch_sampler.hpp"
#include "decovec/data/dataset.hpp"
#include "decovec/train/train.hpp"
#include "train/checkpoint.hpp"
#include "train/grad_cache.hpp"
#include "train/optimizer.hpp"
#include "train/step_batch.hpp"
#include "train/weights.hpp"

namespace decovec {

using StageLoss = std::function<at::Tensor(const Embeddings&, const Relation&)>;

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
    StageLoss loss;
  };

  void check_recipe() const;
  void load_datasets();
  void set_prompts();
  void resume_or_start();
  void prepare_outputs() const;
  void check_saveable() const;
  StageData stage_data(const StageRecipe& stage) const;

  TrainResult run_stage(const StageRecipe& stage);
  StepReport run_step(const StageRecipe& stage, StageData& data);
  void finish_stage(const StageRecipe& stage);
  void checkpoint(std::vector<int64_t> positions);
  bool stop_requested();
  void on_first_rank(const std::function<void()>& write);
  void add_pace(StepReport& report);

  Embedder& model_;
  const Recipe& recipe_;
  const TrainOptions& options_;
  World alone_;
  World& world_;
  std::map<std::string, Dataset> datasets_;
  Weights weights_;
  OrderedJson fingerprint_;
  OptimizerState optimizer_;
  Progress progress_;
  int64_t saved_step_ = -1;  // the total step of the checkpoint that stands
  double recent_seconds_ = 0, recent_tokens_ = 0, recent_queries_ = 0;
};

}  // namespace decovec
