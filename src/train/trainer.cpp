#include "train/trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "io/file.hpp"
#include "train/fault.hpp"
#include "train/schedule.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kReservedPrompts = {"query", "document"};

std::vector<std::string> data_names(const Recipe& recipe, const StageRecipe& stage) {
  if (!stage.data.empty()) return stage.data;
  std::vector<std::string> names;
  for (const DataRecipe& data : recipe.data) names.push_back(data.name);
  return names;
}

const DataRecipe& data_recipe(const Recipe& recipe, const std::string& name) {
  for (const DataRecipe& data : recipe.data)
    if (data.name == name) return data;
  reject("train: data set '{}': a stage names it, the recipe does not describe it", name);
}

StageLoss stage_loss(const StageRecipe& stage) {
  if (stage.loss != "info_nce")
    reject("train: stage '{}': loss: expected info_nce, got '{}'", stage.name, stage.loss);
  return [options = InfoNceOptions{.temperature = stage.temperature}](const Embeddings& embeddings,
                                                                      const Relation& relation) {
    return info_nce(embeddings, relation, options);
  };
}

}  // namespace

Trainer::Trainer(Embedder& model, const Recipe& recipe, const TrainOptions& options)
    : model_(model),
      recipe_(recipe),
      options_(options),
      world_(options.world ? *options.world : alone_),
      weights_(make_weights(model.parameters())) {
  check_recipe();
  load_datasets();
}

void Trainer::check_recipe() const {
  if (recipe_.stages.empty()) reject("train: recipe: expected at least one stage, got none");
  if (recipe_.data.empty()) reject("train: recipe: expected at least one data set, got none");
  for (const DataRecipe& data : recipe_.data)
    for (const std::string& reserved : kReservedPrompts)
      if (data.name == reserved)
        reject("train: data set '{}': the name is kept for the prompt of that name; use another", data.name);
  for (const StageRecipe& stage : recipe_.stages) {
    const auto at_least = [&](const char* what, int64_t minimum, int64_t value) {
      if (value < minimum)
        reject("train: stage '{}': {}: expected {} or more, got {}", stage.name, what, minimum, value);
    };
    at_least("batch_size (queries over all ranks)", world_.size(), stage.batch_size);
    at_least("micro_batch_tokens", 1, stage.micro_batch_tokens);
    at_least("steps", 1, stage.steps);
    at_least("warmup_steps", 0, stage.warmup_steps);
    stage_loss(stage);
  }
}

void Trainer::load_datasets() {
  for (const StageRecipe& stage : recipe_.stages) {
    for (const std::string& name : data_names(recipe_, stage)) {
      if (datasets_.contains(name)) continue;
      const DataRecipe& data = data_recipe(recipe_, name);
      const Dataset& set = datasets_.emplace(name, Dataset::load(name, data.files)).first->second;
      // A right answer with nothing against it has no loss and teaches nothing, without a word.
      const bool learns =
          data.in_batch_negatives ||
          (data.negatives > 0 && std::ranges::any_of(set.examples, [](const Example& example) {
             return !example.negatives.empty();
           }));
      if (!learns)
        fail(
            "{}: data set '{}': expected in_batch_negatives = true, or 'neg' lists and negatives of 1 or "
            "more; a "
            "query without negatives has nothing to learn from",
            data.files.front().string(), name);
    }
  }
}

void Trainer::set_prompts() {
  model_.prompts.clear();
  model_.default_prompt.clear();
  for (const DataRecipe& data : recipe_.data) model_.prompts[data.name] = data.query_prompt;
  const DataRecipe& first = data_recipe(recipe_, data_names(recipe_, recipe_.stages.front()).front());
  model_.prompts[kReservedPrompts[0]] = first.query_prompt;
  model_.prompts[kReservedPrompts[1]] = first.document_prompt;
}

Trainer::StageData Trainer::stage_data(const StageRecipe& stage) const {
  std::vector<TrainingSet> sets;
  std::vector<SampledSet> sampled;
  for (const std::string& name : data_names(recipe_, stage)) {
    const DataRecipe& data = data_recipe(recipe_, name);
    const Dataset* dataset = &datasets_.at(name);
    sets.push_back({dataset, data.query_prompt, data.document_prompt, data.in_batch_negatives});
    sampled.push_back({dataset, data.weight, data.negatives});
  }
  BatchSampler sampler(std::move(sampled), RandomKey(recipe_.seed).with("batches").with(stage.name));
  return {std::move(sets), std::move(sampler), stage_loss(stage)};
}

void Trainer::resume_or_start() {
  optimizer_ = {.kind = recipe_.stages.front().optimizer};
  if (options_.checkpoints.empty()) {
    if (options_.resume) reject("train: resume: expected a folder of checkpoints, got none");
    return;
  }
  fingerprint_ = fingerprint(recipe_, datasets_, model_);
  const std::optional<fs::path> newest = newest_checkpoint(options_.checkpoints);
  if (!options_.resume) {
    if (newest)
      fail("{}: an unfinished run stands there; resume it, or remove {}", newest->string(),
           options_.checkpoints.string());
    return;
  }
  if (!newest) fail("{}: no checkpoint to resume from; start without it", options_.checkpoints.string());
  progress_ = load_checkpoint(*newest, recipe_, fingerprint_, weights_, optimizer_);
  saved_step_ = progress_.total_step;
}

void Trainer::prepare_outputs() const {
  check_saveable();
  if (options_.resume) return;  // this run itself may have written them
  for (const StageRecipe& stage : recipe_.stages)
    if (!stage.output.empty() && fs::exists(stage.output))
      fail("{}: output of stage '{}': already there; remove it or choose another name", stage.output.string(),
           stage.name);
}

/// A tokenizer that cannot be saved would otherwise be noticed after the training. The folder is never
/// committed.
void Trainer::check_saveable() const {
  std::vector<fs::path> places;
  if (!options_.checkpoints.empty()) places.push_back(options_.checkpoints.string() + ".trial");
  for (const StageRecipe& stage : recipe_.stages)
    if (!stage.output.empty()) places.push_back(stage.output);
  if (places.empty() || world_.rank() != 0) return;
  const StagedFolder trial(places.front());
  save_tokenizer(*model_.tokenizer, model_.rule, trial.path());
}

TrainResult Trainer::run() {
  resume_or_start();
  prepare_outputs();
  set_prompts();
  const TrainableScope trainable(weights_);
  while (true) {
    const StageRecipe& stage = recipe_.stages[static_cast<size_t>(progress_.stage)];
    if (run_stage(stage) == TrainResult::stopped) return TrainResult::stopped;
    finish_stage(stage);
    if (progress_.stage + 1 == static_cast<int64_t>(recipe_.stages.size())) return TrainResult::finished;
    ++progress_.stage;
    progress_.step = 0;
    progress_.positions.clear();
    optimizer_ = {.kind = recipe_.stages[static_cast<size_t>(progress_.stage)].optimizer};
    saved_step_ = -1;  // a checkpoint of this step would be the end of the stage before
    const StageData next = stage_data(recipe_.stages[static_cast<size_t>(progress_.stage)]);
    checkpoint(next.sampler.positions());
  }
}

TrainResult Trainer::run_stage(const StageRecipe& stage) {
  StageData data = stage_data(stage);
  if (!progress_.positions.empty()) data.sampler.restore(progress_.positions, progress_.step);
  while (progress_.step < stage.steps) {
    if (stop_requested()) {
      checkpoint(data.sampler.positions());
      return TrainResult::stopped;
    }
    StepReport report = run_step(stage, data);
    add_pace(report);
    if (options_.on_step) options_.on_step(report);
    const bool due = recipe_.checkpoint_every > 0 && progress_.total_step % recipe_.checkpoint_every == 0;
    if (due && progress_.step < stage.steps) checkpoint(data.sampler.positions());
  }
  // Between stages the next one's start is the checkpoint; the last stage's end must not be lost to a failing
  // save.
  if (&stage == &recipe_.stages.back()) checkpoint(data.sampler.positions());
  return TrainResult::finished;
}

StepReport Trainer::run_step(const StageRecipe& stage, StageData& data) {
  const auto started = std::chrono::steady_clock::now();
  const int64_t step = progress_.step + 1;
  const std::vector<BatchRow> rows = data.sampler.next(stage.batch_size);
  const StepBatch batch =
      assemble(data.sets, rows, rows_of_rank(stage.batch_size, world_.rank(), world_.size()),
               [&](std::string_view instruction, std::string_view text) {
                 return model_.sequence(instruction, text, Truncate::right);
               });
  const LossFunction loss = [&](const Embeddings& embeddings) {
    return data.loss(embeddings, batch.relation);
  };
  const ForwardOptions forward{.gradient_checkpointing = stage.gradient_checkpointing};
  const EmbedFunction embed = [&](const TokenBatch& tokens) { return model_.embed(tokens, forward); };
  const auto fail_for = [&](const std::string& what, const CachedLoss& result) {
    fail("train: stage '{}', step {}: the {} is not finite; {}", stage.name, step, what,
         examples_at_fault(result, batch, loss, data.sets, rows));
  };

  GradientSum sum(weights_.holders);
  const CachedLoss result = accumulate_gradient(batch, embed, loss, sum, model_.device(), world_,
                                                {.micro_batch_tokens = stage.micro_batch_tokens});
  if (!std::isfinite(result.loss)) fail_for("loss", result);
  std::vector<at::Tensor> gradients = sum.finish(world_);
  const double norm = global_norm(gradients);
  if (!std::isfinite(norm)) fail_for(broken_gradient(weights_, gradients), result);
  const double rate = learning_rate(stage, step);
  update(weights_, gradients, optimizer_,
         {.learning_rate = rate,
          .weight_decay = stage.weight_decay,
          .gradient_scale = clip_scale(norm, stage.clip)});
  ++progress_.step;
  ++progress_.total_step;

  at::Tensor counts =
      at::tensor({batch.tokens, batch.truncated, batch.relation.masked(batch.own.begin, batch.own.end)},
                 at::TensorOptions(at::kLong).device(model_.device()));
  world_.reduce(counts);
  counts = counts.cpu();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
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
          .seconds = seconds.count()};
}

/// Totals, and the pace of the last twenty steps or so.
void Trainer::add_pace(StepReport& report) {
  const double kept = 0.95;
  const StageRecipe& running = recipe_.stages[static_cast<size_t>(progress_.stage)];
  recent_seconds_ = recent_seconds_ * kept + report.seconds;
  recent_tokens_ = recent_tokens_ * kept + static_cast<double>(report.tokens);
  recent_queries_ = recent_queries_ * kept + static_cast<double>(running.batch_size);
  int64_t queries_left = (running.steps - progress_.step) * running.batch_size;
  for (size_t i = 0; i < recipe_.stages.size(); ++i) {
    const StageRecipe& stage = recipe_.stages[i];
    report.total_steps += stage.steps;
    if (static_cast<int64_t>(i) > progress_.stage) queries_left += stage.steps * stage.batch_size;
  }
  report.tokens_per_second = recent_tokens_ / recent_seconds_;
  report.seconds_left = static_cast<double>(queries_left) * recent_seconds_ / recent_queries_;
}

void Trainer::finish_stage(const StageRecipe& stage) {
  if (stage.output.empty()) return;
  on_first_rank([&] {
    const bool written_before = options_.resume && fs::exists(stage.output / "config.json");
    if (written_before) fs::remove_all(stage.output);  // the run broke off before its next checkpoint
    model_.save(stage.output);
  });
}

void Trainer::checkpoint(std::vector<int64_t> positions) {
  if (options_.checkpoints.empty() || saved_step_ == progress_.total_step) return;
  progress_.positions = std::move(positions);
  on_first_rank(
      [&] { save_checkpoint(options_.checkpoints, model_, weights_, optimizer_, progress_, fingerprint_); });
  saved_step_ = progress_.total_step;
}

bool Trainer::stop_requested() {
  at::Tensor requests = at::full({1}, options_.stop.stop_requested() ? 1 : 0,
                                 at::TensorOptions(at::kLong).device(model_.device()));
  world_.reduce(requests);
  return requests.item<int64_t>() > 0;
}

/// Files are written once; a failure ends all ranks.
void Trainer::on_first_rank(const std::function<void()>& write) {
  std::exception_ptr error;
  if (world_.rank() == 0) {
    try {
      write();
    } catch (...) {
      error = std::current_exception();
    }
  }
  at::Tensor failures = at::full({1}, error ? 1 : 0, at::TensorOptions(at::kLong).device(model_.device()));
  world_.reduce(failures);
  if (error) std::rethrow_exception(error);
  if (failures.item<int64_t>() > 0) fail("train: rank 0 could not write its files; see its message");
}

}  // namespace decovec
