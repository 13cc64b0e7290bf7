#include "train/checkpoint.hpp"

#include <charconv>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "decovec/world/random.hpp"
#include "io/error.hpp"
#include "io/file.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormat = 1;
constexpr const char* kCounters = "training.json";
constexpr const char* kState = "optimizer.safetensors";
constexpr const char* kModel = "model";

/// N of "step-N"; nothing for other names.
std::optional<int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string(), prefix = "step-";
  if (!name.starts_with(prefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + prefix.size(), end, step);
  if (parsed.ec != std::errc() || parsed.ptr != end || step < 0) return std::nullopt;
  return step;
}

std::string content_hash(const Dataset& dataset) {
  RandomKey key(0);
  for (const Example& example : dataset.examples) {
    key = key.with(example.query).with(example.positives.size()).with(example.negatives.size());
    for (const std::string& text : example.positives) key = key.with(text);
    for (const std::string& text : example.negatives) key = key.with(text);
  }
  return fmt::format("{:016x}", random_bits(key));
}

std::string schedule_name(Schedule schedule) {
  switch (schedule) {
    case Schedule::linear:
      return "linear";
    case Schedule::cosine:
      return "cosine";
    case Schedule::constant:
      return "constant";
  }
  return "";
}

std::string pooling_name(Pooling pooling) {
  switch (pooling) {
    case Pooling::mean:
      return "mean";
    case Pooling::last_token:
      return "last_token";
    case Pooling::latent_attention:
      return "latent_attention";
  }
  return "";
}

void restore_weights(const fs::path& folder, const Weights& weights) {
  at::NoGradGuard no_grad;
  const Safetensors file = Safetensors::open(folder);
  for (const Parameter& parameter : weights.parameters) {
    at::Tensor value = parameter.value();
    const at::Tensor saved = file.tensor(parameter.name);
    if (saved.sizes() != value.sizes() || saved.scalar_type() != value.scalar_type())
      fail("{}: tensor '{}': expected {} {}, got {} {}; is it the checkpoint of another model?",
           folder.string(), parameter.name, c10::toString(value.scalar_type()), c10::str(value.sizes()),
           c10::toString(saved.scalar_type()), c10::str(saved.sizes()));
    value.copy_(saved);
  }
}

}  // namespace

OrderedJson fingerprint(const Recipe& recipe, const std::map<std::string, Dataset>& datasets,
                        const Embedder& model) {
  OrderedJson print = {
      {"seed", recipe.seed},
      {"dtype", c10::toString(model.dtype())},
      {"attention", model.transformer.config.attention == Attention::causal ? "causal" : "bidirectional"},
      {"pooling", pooling_name(model.pooling)},
      {"bos", model.rule.bos},
      {"eos", static_cast<int>(model.rule.eos)},
      {"instruction", static_cast<int>(model.rule.instruction)},
      {"max_length", model.rule.max_length}};
  for (const StageRecipe& stage : recipe.stages) {
    print["stages"].push_back(stage.name);
    print["stage"][stage.name] = {{"data", stage.data},
                                  {"loss", stage.loss},
                                  {"temperature", stage.temperature},
                                  {"batch_size", stage.batch_size},
                                  {"steps", stage.steps},
                                  {"optimizer", stage.optimizer == Optimizer::adamw ? "adamw" : "sgd"},
                                  {"learning_rate", stage.learning_rate},
                                  {"warmup_steps", stage.warmup_steps},
                                  {"schedule", schedule_name(stage.schedule)},
                                  {"weight_decay", stage.weight_decay},
                                  {"clip", stage.clip}};
  }
  for (const DataRecipe& data : recipe.data) {
    const auto found = datasets.find(data.name);
    if (found == datasets.end()) continue;  // no stage uses it
    print["data"][data.name] = {{"examples", found->second.examples.size()},
                                {"content", content_hash(found->second)},
                                {"query_prompt", data.query_prompt},
                                {"document_prompt", data.document_prompt},
                                {"weight", data.weight},
                                {"in_batch_negatives", data.in_batch_negatives},
                                {"negatives", data.negatives}};
  }
  return print;
}

std::string difference(const Json& checkpoint, const OrderedJson& recipe, const std::string& where) {
  if (!checkpoint.is_object() || !recipe.is_object())
    return checkpoint == Json(recipe) ? ""
                                      : fmt::format("{}: the checkpoint has {}, the recipe {}", where,
                                                    shown(checkpoint), shown(Json(recipe)));
  const auto below = [&](const std::string& key) { return where.empty() ? key : where + "." + key; };
  for (const auto& [key, value] : recipe.items()) {
    if (!checkpoint.contains(key)) return fmt::format("{}: in the recipe, not in the checkpoint", below(key));
    if (std::string found = difference(checkpoint.at(key), value, below(key)); !found.empty()) return found;
  }
  for (const auto& [key, value] : checkpoint.items())
    if (!recipe.contains(key)) return fmt::format("{}: in the checkpoint, not in the recipe", below(key));
  return "";
}

std::optional<fs::path> newest_checkpoint(const fs::path& checkpoints) {
  std::optional<fs::path> newest;
  int64_t newest_step = -1;
  if (!fs::is_directory(checkpoints)) return newest;
  for (const fs::directory_entry& entry : fs::directory_iterator(checkpoints)) {
    const std::optional<int64_t> step = step_of(entry.path());
    if (!step || *step <= newest_step || !fs::exists(entry.path() / kCounters)) continue;
    newest = entry.path();
    newest_step = *step;
  }
  return newest;
}

void save_checkpoint(const fs::path& checkpoints, const Embedder& model, const Weights& weights,
                     const OptimizerState& optimizer, const Progress& progress, const OrderedJson& print) {
  const fs::path folder = checkpoints / fmt::format("step-{}", progress.total_step);
  StagedFolder staged(folder);
  model.save(staged.path() / kModel);
  write_safetensors(staged.path() / kState, named_state(weights, optimizer));
  write_json(staged.path() / kCounters, {{"format", kFormat},
                                         {"stage", progress.stage},
                                         {"step", progress.step},
                                         {"total_step", progress.total_step},
                                         {"optimizer_steps", optimizer.steps},
                                         {"positions", progress.positions},
                                         {"recipe", print}});
  staged.commit();
  std::vector<fs::path> older;
  for (const fs::directory_entry& entry : fs::directory_iterator(checkpoints))
    if (entry.path().filename() != folder.filename() && step_of(entry.path())) older.push_back(entry.path());
  for (const fs::path& path : older) fs::remove_all(path);
}

Progress load_checkpoint(const fs::path& checkpoint, const Recipe& recipe, const OrderedJson& print,
                         const Weights& weights, OptimizerState& optimizer) {
  const JsonObject counters = JsonObject::read(checkpoint / kCounters);
  if (counters.integer("format") != kFormat)
    fail("{}: format: expected {}, got {}; it was written by another version", counters.where(), kFormat,
         counters.integer("format"));
  const JsonObject saved = counters.object("recipe");
  const std::string differs = difference(saved.raw(), print);
  if (!differs.empty())
    fail("{}: {}; resume with the recipe of the checkpoint, or start anew without it", counters.where(),
         differs);

  Progress progress;
  progress.stage = counters.integer("stage", 0, static_cast<int64_t>(recipe.stages.size()) - 1);
  const StageRecipe& stage = recipe.stages[static_cast<size_t>(progress.stage)];
  progress.step = counters.integer("step", 0, stage.steps);
  progress.total_step = counters.integer("total_step");
  const Json positions = counters.has("positions") ? counters.raw().at("positions") : Json();
  const size_t sets = stage.data.empty() ? recipe.data.size() : stage.data.size();
  if (!positions.is_array() || positions.size() != sets)
    fail("{}: 'positions': expected {} numbers, got {}", counters.where(), sets, shown(positions));
  for (const Json& position : positions) {
    if (!position.is_number_unsigned())
      fail("{}: 'positions': expected numbers from 0, got {}", counters.where(), shown(position));
    progress.positions.push_back(position.get<int64_t>());
  }
  optimizer = {.kind = stage.optimizer, .steps = counters.integer("optimizer_steps", 0, stage.steps)};
  restore_weights(checkpoint / kModel, weights);
  restore_state(weights, optimizer, Safetensors::open(checkpoint / kState));
  return progress;
}

}  // namespace decovec
