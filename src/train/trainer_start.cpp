// What a run checks and reads before its first step.
#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "io/file.hpp"
#include "model/adapter_config.hpp"
#include "model/adapter_folder.hpp"
#include "train/fingerprint.hpp"
#include "train/outputs.hpp"
#include "train/trainer.hpp"
#include "world/ranks.hpp"

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

// The losses of a stage, each with the places of its data sets among the stage's.
std::vector<LossTerm> loss_terms(const Recipe& recipe, const StageRecipe& stage) {
  const std::vector<std::string> names = data_names(recipe, stage);
  if (stage.losses.empty()) reject("train: stage '{}': losses: expected at least one, got none", stage.name);
  std::vector<LossTerm> terms;
  for (const LossRecipe& loss : stage.losses) {
    if (!(loss.weight > 0) || !std::isfinite(loss.weight))
      reject("train: stage '{}': loss {}: weight: expected a number above 0, got {}", stage.name,
             loss.description, loss.weight);
    LossTerm& term = terms.emplace_back(LossTerm{loss.loss, loss.weight, {}});
    for (const std::string& name : loss.data) {
      const auto found = std::find(names.begin(), names.end(), name);
      if (found == names.end())
        reject("train: stage '{}': loss {}: expected data sets of the stage, got '{}'", stage.name,
               loss.description, name);
      term.sets.push_back(static_cast<int32_t>(found - names.begin()));
    }
  }
  return terms;
}

RowSource row_source(const DataRecipe& data, const Dataset& dataset) {
  if (data.threshold && data.kind != DataKind::sts)
    reject("train: data set '{}': threshold: expected none but for sts, got {}", data.name, *data.threshold);
  switch (data.kind) {
    case DataKind::retrieval:
      break;
    case DataKind::classification:
    case DataKind::clustering:
      return labelled_rows(dataset, data.negatives);
    case DataKind::sts:
      return pair_rows(dataset, data.threshold);
  }
  return retrieval_rows(dataset, data.negatives);
}

/// A right answer with nothing against it has no loss and teaches nothing, without a word.
void check_contrast(const DataRecipe& data, const RowSource& source, const LossRecipe& loss) {
  if (loss.contrast == Contrast::none) return;
  if (!source.has_positives)
    fail(
        "train: data set '{}': expected a threshold, from which on pairs are right answers, or a loss that "
        "learns from scores, got {} and none",
        data.name, loss.description);
  if (source.has_negatives) return;
  if (loss.contrast == Contrast::any && data.in_batch_negatives) return;
  fail(
      "{}: data set '{}': expected {}negatives of its own, 1 or more a row; under {} a query without "
      "negatives has nothing to learn from",
      data.files.front().string(), data.name,
      loss.contrast == Contrast::any ? "in_batch_negatives = true, or " : "", loss.description);
}

void check_scores(const RowSource& source, const StageRecipe& stage, const LossRecipe& loss) {
  if (source.first_unscored < 0) return;
  fail(
      "train: stage '{}': loss {}: data set '{}', example {}: expected pos_scores and, with 'neg', "
      "neg_scores, which this loss learns from, got none; add them or take another loss",
      stage.name, loss.description, source.name, source.first_unscored + 1);
}

}  // namespace

Trainer::Trainer(Embedder& model, const Recipe& recipe, const TrainOptions& options)
    : model_(model),
      recipe_(recipe),
      options_(options),
      world_(options.world ? *options.world : alone_),
      evaluations_(recipe),
      weights_(make_weights(trained_parameters(with_adapter(model, recipe)), world_)) {
  check_recipe();
  load_datasets();
  for (const StageRecipe& stage : recipe_.stages) stage_data(stage);  // throws for what cannot be sampled
}

/// Trained again by the same recipe, the model goes on with the adapter that it has.
Embedder& Trainer::with_adapter(Embedder& model, const Recipe& recipe) {
  const Adapter* own = unmerged_adapter(model);
  if (!recipe.lora) return model;
  if (own == nullptr) {
    model.add_adapter(*recipe.lora, recipe.seed);
    return model;
  }
  AdapterConfig stated = *recipe.lora;
  stated.base = own->config.base;
  stated.task = own->config.task;
  if (const std::string differs =
          difference(Json(write_adapter_config(own->config)), write_adapter_config(stated),
                     {"the model's adapter", "the recipe"});
      !differs.empty())
    reject("train: lora: {}; merge the model's adapter first, or train it further without [lora]", differs);
  return model;
}

void Trainer::check_recipe() const {
  if (recipe_.stages.empty()) reject("train: recipe: expected at least one stage, got none");
  if (recipe_.data.empty()) reject("train: recipe: expected at least one data set, got none");
  for (const DataRecipe& data : recipe_.data)
    for (const std::string& reserved : kReservedPrompts)
      if (data.name == reserved)
        reject("train: data set '{}': the name is kept for the prompt of that name; use another", data.name);
  if (!recipe_.best.empty() && options_.checkpoints.empty())
    reject("train: recipe: best: expected a folder of checkpoints, where it is kept, got none");
  for (const StageRecipe& stage : recipe_.stages) {
    const auto within = [&](const char* what, int64_t minimum, int64_t maximum, int64_t value) {
      if (value < minimum || value > maximum)
        reject("train: stage '{}': {}: expected {} to {}, got {}", stage.name, what, minimum, maximum, value);
    };
    within("batch_size (queries over all ranks)", world_.size(), kMaxBatchSize, stage.batch_size);
    within("micro_batch_tokens", 1, kMaxMicroBatchTokens, stage.micro_batch_tokens);
    within("steps", 1, int64_t{1} << 40, stage.steps);
    within("warmup_steps", 0, int64_t{1} << 40, stage.warmup_steps);
    const auto check = [&](const char* what, bool right, const char* expected, double got) {
      if (!right) reject("train: stage '{}': {}: expected {}, got {}", stage.name, what, expected, got);
    };
    check("hidden_dropout", stage.hidden_dropout >= 0 && stage.hidden_dropout < 1,
          "a share from 0 to below 1", stage.hidden_dropout);
    check("layer_decay", stage.layer_decay > 0 && stage.layer_decay <= 1, "a number above 0, at most 1",
          stage.layer_decay);
    loss_terms(recipe_, stage);
    for (const LossRecipe& loss : stage.losses)
      if (loss.least_columns > model_.dimensions())
        reject("train: stage '{}': loss {}: matryoshka: dimensions: expected 1 to the model's {}, got {}",
               stage.name, loss.description, model_.dimensions(), loss.least_columns);
  }
}

void Trainer::load_datasets() {
  for (const StageRecipe& stage : recipe_.stages) {
    const std::vector<std::string> names = data_names(recipe_, stage);
    for (const std::string& name : names) {
      if (datasets_.contains(name)) continue;
      const DataRecipe& data = data_recipe(recipe_, name);
      const Dataset& dataset = datasets_.emplace(name, Dataset::load(name, data.files)).first->second;
      sources_.emplace(name, row_source(data, dataset));
      check_room(data);
    }
    for (const LossRecipe& loss : stage.losses) {
      for (const std::string& name : loss.data.empty() ? names : loss.data) {
        check_contrast(data_recipe(recipe_, name), sources_.at(name), loss);
        if (loss.needs_scores) check_scores(sources_.at(name), stage, loss);
      }
    }
  }
}

/// A prompt that fills max_length would leave nothing of any text, and every gradient 0.
void Trainer::check_room(const DataRecipe& data) const {
  for (const auto& [key, prompt] :
       {std::pair{"query_prompt", &data.query_prompt}, {"document_prompt", &data.document_prompt}}) {
    try {
      model_.check_room({.prompt = *prompt, .truncate = Truncate::right});
    } catch (const std::invalid_argument& error) {
      fail("train: data set '{}': {}: {}", data.name, key, error.what());
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
    const RowSource& source = sources_.at(name);
    sets.push_back({&source, data.query_prompt, data.document_prompt, data.in_batch_negatives});
    sampled.push_back({.name = name,
                       .examples = source.size,
                       .weight = data.weight,
                       .max_examples = data.max_examples,
                       .subset = RandomKey(recipe_.seed).with("max_examples").with(name)});
  }
  BatchSampler sampler(std::move(sampled), RandomKey(recipe_.seed).with("batches").with(stage.name),
                       {.homogeneous_ratio = stage.homogeneous_ratio, .size_exponent = stage.size_exponent});
  return {std::move(sets), std::move(sampler), loss_terms(recipe_, stage)};
}

void Trainer::resume_or_start() {
  if (options_.resume && options_.checkpoints.empty())
    reject("train: resume: expected a folder of checkpoints, got none");
  optimizer_ = {.kind = recipe_.stages.front().optimizer};
  if (world_.size() > 1 || !options_.checkpoints.empty())
    fingerprint_ = fingerprint(recipe_, datasets_, model_);
  check_same_on_all_ranks();
  on_first_rank(world_, [&] { take_outputs(); });
  if (options_.resume) {
    progress_ = load_checkpoint(newest_checkpoint(options_.checkpoints).value(), recipe_, weights_,
                                optimizer_, world_);
    saved_step_ = progress_.total_step;
  }
  on_first_rank(world_, [&] { check_outputs_free(); });
}

/// Each rank reads recipe, data and model by itself; a difference would train another thing without a word,
/// or leave ranks waiting for each other.
void Trainer::check_same_on_all_ranks() const {
  if (world_.size() == 1) return;
  OrderedJson print = fingerprint_;
  print["resume"] = options_.resume;
  std::string own = print.dump();
  const auto of_rank = [&](at::Tensor row) { return world_.gather(row.to(world_.device())).cpu(); };
  const at::Tensor sizes = of_rank(at::full({1}, static_cast<int64_t>(own.size()), at::kLong));
  const at::Tensor bytes =
      of_rank(at::from_blob(own.data(), {static_cast<int64_t>(own.size())}, at::kChar).clone());
  std::string_view all(static_cast<const char*>(bytes.const_data_ptr()), static_cast<size_t>(bytes.numel()));
  on_first_rank(world_, [&] {
    for (int rank = 0; rank < world_.size(); ++rank) {
      const auto size = static_cast<size_t>(sizes[rank].item<int64_t>());
      const std::string differs =
          difference(Json::parse(all.substr(0, size)), print, {fmt::format("rank {}", rank), "rank 0"});
      all.remove_prefix(size);
      if (!differs.empty()) fail("train: {}; start all ranks with the same recipe, data and model", differs);
    }
  });
}

/// Locks the checkpoints and compares what stands there with this run. A model that cannot be saved is
/// noticed here, before it is trained.
void Trainer::take_outputs() {
  const fs::path& checkpoints = options_.checkpoints;
  std::vector<Output> outputs;
  if (!checkpoints.empty()) outputs.push_back({"checkpoints", checkpoints});
  for (const StageRecipe& stage : recipe_.stages)
    if (!stage.output.empty())
      outputs.push_back({fmt::format("output of stage '{}'", stage.name), stage.output});
  if (outputs.empty()) return;
  check_apart(outputs);
  if (checkpoints.empty()) {
    const StagedFolder scratch(outputs.front().path);
    return save_output_settings(model_, recipe_, scratch.path());
  }

  lock_.emplace(checkpoints / "lock", "another run writes its checkpoints here; wait for its end");
  remove_staged(checkpoints);
  const std::optional<fs::path> newest = newest_checkpoint(checkpoints);
  if (newest && !options_.resume)
    fail("{}: an unfinished run stands there; resume it, or remove {}", newest->string(),
         checkpoints.string());
  if (!newest && options_.resume)
    fail("{}: no checkpoint to resume from; start without it", checkpoints.string());
  const StagedFolder scratch(checkpoints / "scratch");
  fingerprint_["model"] = fingerprint_of_files(model_, recipe_, scratch.path());
  if (newest) check_same_run(*newest, fingerprint_);
}

/// Nothing is ever replaced. Of an output that a run wrote before it broke off `finish_stage` says whether it
/// is the one; that comes next.
void Trainer::check_outputs_free() const {
  for (size_t i = static_cast<size_t>(progress_.stage); i < recipe_.stages.size(); ++i) {
    const StageRecipe& stage = recipe_.stages[i];
    const bool trained = static_cast<int64_t>(i) == progress_.stage && progress_.step == stage.steps;
    if (stage.output.empty() || trained) continue;
    if (!is_free(stage.output)) fail_taken(stage);
    const StagedFolder trial(stage.output);  // can it be written?
  }
}

void Trainer::fail_taken(const StageRecipe& stage) {
  fail("{}: output of stage '{}': already there; remove it or choose another name", stage.output.string(),
       stage.name);
}

}  // namespace decovec
