#include "train/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "io/file.hpp"
#include "model/adapter_folder.hpp"
#include "train/fault.hpp"
#include "train/outputs.hpp"
#include "train/schedule.hpp"
#include "world/ranks.hpp"

namespace decovec {
namespace {

std::string advice_for_memory(const StageRecipe& stage) {
  return fmt::format("{}lower max_length or batch_size, train in bfloat16, or use a device with more memory",
                     stage.gradient_checkpointing ? "" : "set gradient_checkpointing = true, ");
}

}  // namespace

TrainResult Trainer::run() {
  set_prompts();
  resume_or_start();
  if (options_.on_start) options_.on_start();
  const TrainableScope trainable(weights_);
  micro_batch_tokens_ = recipe_.stages[0].micro_batch_tokens;
  if (progress_.total_step == 0 && !options_.resume && !evaluations_.empty() && evaluate(recipe_.stages[0]))
    checkpoint(recipe_.stages[0], stage_data(recipe_.stages[0]).sampler.positions());
  while (true) {
    const StageRecipe& stage = recipe_.stages[static_cast<size_t>(progress_.stage)];
    if (run_stage(stage) == TrainResult::stopped) return TrainResult::stopped;
    finish_stage(stage);
    if (progress_.stage + 1 == static_cast<int64_t>(recipe_.stages.size())) return TrainResult::finished;
    ++progress_.stage;
    progress_.step = 0;
    progress_.positions.clear();
    optimizer_ = {.kind = recipe_.stages[static_cast<size_t>(progress_.stage)].optimizer};
  }
}

TrainResult Trainer::run_stage(const StageRecipe& stage) {
  StageData data = stage_data(stage);
  micro_batch_tokens_ = stage.micro_batch_tokens;
  if (!progress_.positions.empty()) data.sampler.restore(progress_.positions, progress_.step);
  std::vector<int64_t> positions = data.sampler.positions();  // after the steps that are done
  BatchesAhead batches([&](int64_t step) { return prepare(stage, data, step); }, progress_.step + 1,
                       stage.steps, options_.prepare_ahead);
  while (progress_.step < stage.steps) {
    if (stop_requested()) {
      checkpoint(stage, positions);
      return TrainResult::stopped;
    }
    const auto started = std::chrono::steady_clock::now();
    PreparedBatch prepared = batches.next();
    StepReport report = run_step(stage, data, prepared.batch);
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    positions = std::move(prepared.positions);
    add_pace(report);
    if (options_.on_step) options_.on_step(report);
    const bool is_best = evaluation_due(stage) && evaluate(stage);
    const bool due = recipe_.checkpoint_every > 0 && progress_.total_step % recipe_.checkpoint_every == 0;
    if (due || is_best) checkpoint(stage, positions);
  }
  checkpoint(stage, positions);  // nothing that follows may lose a stage's end
  return TrainResult::finished;
}

/// Draws and tokenizes. Runs beside the step before, so it changes nothing but the sampler.
PreparedBatch Trainer::prepare(const StageRecipe& stage, StageData& data, int64_t step) const {
  std::vector<BatchRow> rows = data.sampler.next(stage.batch_size);
  const RandomKey key =
      RandomKey(recipe_.seed).with("loss").with(stage.name).with(static_cast<uint64_t>(step));
  return {assemble(
              data.sets, std::move(rows), rows_of_rank(stage.batch_size, world_.rank(), world_.size()),
              [&](std::string_view instruction, std::string_view text) {
                return model_.sequence(instruction, text, Truncate::right);
              },
              key),
          data.sampler.positions()};
}

StepReport Trainer::run_step(const StageRecipe& stage, const StageData& data, const StepBatch& batch) {
  const int64_t step = progress_.step + 1;
  const BatchLoss batch_loss(data.losses, batch.relation);
  const LossFunction loss = [&](const Embeddings& embeddings, FilterCounts* counts) {
    return batch_loss(embeddings, counts);
  };
  const std::vector<uint64_t> keys = sequence_keys(
      batch, RandomKey(recipe_.seed).with("dropout").with(stage.name).with(static_cast<uint64_t>(step)));
  const Adapter* adapter = unmerged_adapter(model_);
  const EmbedFunction embed = [&](const PackedBatch& packed) {
    ForwardOptions forward{.gradient_checkpointing = stage.gradient_checkpointing,
                           .dropout = {.hidden = stage.hidden_dropout,
                                       .adapter_input = adapter == nullptr ? 0 : adapter->config.dropout}};
    for (const int64_t row : packed.rows) forward.dropout.keys.push_back(keys[static_cast<size_t>(row)]);
    return model_.embed(packed.batch, forward);
  };
  const auto fail_for = [&](const std::string& what, const CachedLoss& result) {
    const std::string examples = examples_at_fault(result, batch, loss, data.sets, world_);
    on_all_ranks(world_, [&] {
      if (!examples.empty())
        fail("train: stage '{}', step {}: the {} is not finite; {}", stage.name, step, what, examples);
    });
  };

  GradientSum sum(weights_.holders);
  const CachedLoss result = [&] {
    try {
      return accumulate_gradient(batch, embed, loss, sum, model_.device(), world_,
                                 {.micro_batch_tokens = micro_batch_tokens_});
    } catch (const OutOfMemory& error) {
      fail("train: stage '{}', step {}: {}; {}", stage.name, step, error.what(), advice_for_memory(stage));
    }
  }();
  micro_batch_tokens_ = result.micro_batch_tokens;
  if (!std::isfinite(result.loss)) fail_for("loss", result);
  std::vector<at::Tensor> gradients = sum.finish(world_);
  const double norm = global_norm(gradients, world_);
  if (!std::isfinite(norm)) fail_for(broken_gradient(weights_, gradients, world_), result);
  const double rate = learning_rate(stage, step);
  update(weights_, gradients, optimizer_,
         {.learning_rate = rate,
          .rate_scales = rate_scales(weights_, model_, stage.layer_decay),
          .weight_decay = stage.weight_decay,
          .gradient_scale = clip_scale(norm, stage.clip)},
         world_);
  ++progress_.step;
  ++progress_.total_step;

  const at::Tensor own_counts =
      at::tensor({batch.tokens, batch.truncated, batch.relation.masked(batch.own.begin, batch.own.end),
                  result.filtered.by_score, micro_batch_tokens_},
                 at::TensorOptions(at::kLong).device(model_.device()));
  const at::Tensor of_ranks = world_.gather(own_counts.unsqueeze(0)).cpu(), counts = of_ranks.sum(0);
  return {.stage = stage.name,
          .step = progress_.step,
          .steps = stage.steps,
          .total_step = progress_.total_step,
          .loss = result.loss,
          .gradient_norm = norm,
          .learning_rate = rate,
          .tokens = counts[0].item<int64_t>(),
          .truncated = counts[1].item<int64_t>(),
          .masked = counts[2].item<int64_t>(),
          .filtered = counts[3].item<int64_t>(),
          .micro_batch_tokens = of_ranks.select(1, 4).min().item<int64_t>()};
}

/// Totals, and the pace of the last twenty steps or so.
void Trainer::add_pace(StepReport& report) {
  const double kept = 0.95;
  const StageRecipe& running = recipe_.stages[static_cast<size_t>(progress_.stage)];
  recent_seconds_ = recent_seconds_ * kept + report.seconds;
  recent_tokens_ = recent_tokens_ * kept + static_cast<double>(report.tokens);
  recent_queries_ = recent_queries_ * kept + static_cast<double>(running.batch_size);
  auto queries_left = static_cast<double>((running.steps - progress_.step) * running.batch_size);
  for (size_t i = 0; i < recipe_.stages.size(); ++i) {
    const StageRecipe& stage = recipe_.stages[i];
    report.total_steps += stage.steps;
    if (static_cast<int64_t>(i) > progress_.stage)
      queries_left += static_cast<double>(stage.steps * stage.batch_size);
  }
  report.tokens_per_second = recent_tokens_ / recent_seconds_;
  report.seconds_left = queries_left * recent_seconds_ / recent_queries_;
}

/// An output that stands already is one that this run wrote before it broke off, or none of its own.
void Trainer::finish_stage(const StageRecipe& stage) {
  if (stage.output.empty()) return;
  on_first_rank(world_, [&] {
    if (is_free(stage.output)) return save_output(model_, recipe_, stage.output);
    const StagedFolder expected(stage.output);
    save_output(model_, recipe_, expected.path() / "model");
    if (!holds_files_of(expected.path() / "model", stage.output)) fail_taken(stage);
  });
}

bool Trainer::evaluation_due(const StageRecipe& stage) const {
  if (evaluations_.empty()) return false;
  if (progress_.step == stage.steps) return true;
  return recipe_.evaluate_every > 0 && progress_.total_step % recipe_.evaluate_every == 0;
}

/// True where the recipe wants the best kept and this is it: then a checkpoint must tell of it.
bool Trainer::evaluate(const StageRecipe& stage) {
  check_weights(stage);
  const auto started = std::chrono::steady_clock::now();
  EvaluationReport report{.stage = stage.name, .step = progress_.step, .total_step = progress_.total_step};
  report.sets = evaluations_.measure(model_, world_, micro_batch_tokens_);
  if (!recipe_.best.empty()) {
    const double figure = figure_of_best(recipe_.best, report.sets);
    report.best = !std::isnan(figure) && (!progress_.best || figure > progress_.best->figure);
    if (report.best) progress_.best = {.total_step = progress_.total_step, .figure = figure};
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (options_.on_evaluation) options_.on_evaluation(report);
  return report.best;
}

/// Weights that are not finite end the run before they replace anything that was saved.
void Trainer::check_weights(const StageRecipe& stage) const {
  on_all_ranks(world_, [&] {
    if (const std::string broken = broken_weight(weights_, optimizer_); !broken.empty())
      fail(
          "train: stage '{}', after step {}: '{}': expected finite numbers alone, got others; lower "
          "learning_rate ({})",
          stage.name, progress_.step, broken, stage.learning_rate);
  });
}

void Trainer::checkpoint(const StageRecipe& stage, std::vector<int64_t> positions) {
  if (saved_step_ == progress_.total_step) return;
  check_weights(stage);
  progress_.positions = std::move(positions);
  if (!options_.checkpoints.empty()) {
    try {
      save_checkpoint(options_.checkpoints, model_, weights_, optimizer_, progress_, fingerprint_, world_,
                      recipe_);
    } catch (const OtherRankFailed&) {
      throw;
    } catch (const std::runtime_error& error) {
      fail("train: stage '{}', after step {}: no checkpoint: {}; resume from the one before it", stage.name,
           progress_.step, error.what());
    }
  }
  saved_step_ = progress_.total_step;
}

bool Trainer::stop_requested() { return sum_over_ranks(world_, options_.stop.stop_requested() ? 1 : 0) > 0; }

}  // namespace decovec
