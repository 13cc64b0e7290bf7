#include "train/checkpoint.hpp"

#include <algorithm>
#include <charconv>
#include <exception>
#include <map>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/safetensors_write.hpp"
#include "train/fault.hpp"
#include "train/fingerprint.hpp"
#include "train/outputs.hpp"
#include "world/ranks.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFormat = 2;
constexpr const char* kCounters = "training.json";
constexpr const char* kState = "optimizer.safetensors";
constexpr const char* kModel = "model";
constexpr const char* kBestPrefix = "best-";
constexpr const char* kTrained = "trained.safetensors";  // instead of the model, where a part is trained

/// N of "step-N", or of another prefix; nothing for other names.
std::optional<int64_t> step_of(const fs::path& folder, const std::string& prefix = "step-") {
  const std::string name = folder.filename().string();
  if (!name.starts_with(prefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + prefix.size(), end, step);
  if (parsed.ec != std::errc() || parsed.ptr != end || step < 0) return std::nullopt;
  return step;
}

/// The checkpoints of a folder by their steps; other things in it are none.
std::map<int64_t, fs::path> checkpoints_in(const fs::path& folder) {
  std::map<int64_t, fs::path> found;
  if (!fs::is_directory(folder)) return found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::optional<int64_t> step = step_of(entry.path());
    if (step && fs::exists(entry.path() / kCounters)) found[*step] = entry.path();
  }
  return found;
}

fs::path best_folder(const fs::path& checkpoints, int64_t total_step) {
  return checkpoints / fmt::format("{}{}", kBestPrefix, total_step);
}

std::vector<fs::path> best_folders(const fs::path& checkpoints) {
  std::vector<fs::path> found;
  if (!fs::is_directory(checkpoints)) return found;
  for (const fs::directory_entry& entry : fs::directory_iterator(checkpoints))
    if (step_of(entry.path(), kBestPrefix)) found.push_back(entry.path());
  return found;
}

void save_best(const fs::path& folder, const Embedder& model, const Recipe& recipe) {
  if (fs::exists(folder)) remove_whole(folder);  // of a run that was killed before its checkpoint told of it
  save_output(model, recipe, folder, recipe.dtype);
}

std::optional<BestEvaluation> read_best(const JsonObject& counters, const fs::path& checkpoints) {
  if (!counters.has("best")) return std::nullopt;
  const JsonObject best = counters.object("best");
  const BestEvaluation read = {.total_step = best.integer("total_step"), .figure = best.number("figure")};
  const fs::path folder = best_folder(checkpoints, read.total_step);
  if (!fs::is_directory(folder))
    fail("{}: 'best': expected the model in {}, there is none; put it back or start anew", counters.where(),
         folder.string());
  return read;
}

/// A parameter's file: its folder below the model's, and its name there ("2_Dense/linear.weight").
std::pair<std::string, std::string> place_of(const std::string& name) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos) return {"", name};
  return {name.substr(0, slash), name.substr(slash + 1)};
}

std::vector<NamedTensor> named_weights(const Weights& weights) {
  std::vector<NamedTensor> tensors;
  for (const Parameter& parameter : weights.parameters)
    tensors.push_back({parameter.name, parameter.value()});
  return tensors;
}

void restore_model(const fs::path& folder, const Weights& weights) {
  std::map<std::string, std::vector<NamedTensor>> by_folder;
  for (const Parameter& parameter : weights.parameters) {
    const auto [below, name] = place_of(parameter.name);
    by_folder[below].push_back({name, parameter.value()});
  }
  for (const auto& [below, tensors] : by_folder)
    restore_tensors(tensors, TensorFiles::open(below.empty() ? folder : folder / below));
}

/// Every step draws batch_size rows.
std::vector<int64_t> read_positions(const JsonObject& counters, size_t sets, int64_t rows) {
  const Json positions = counters.has("positions") ? counters.raw().at("positions") : Json();
  const auto wrong = [&] {
    fail("{}: 'positions': expected {} numbers from 0 that add up to the {} rows drawn so far, got {}",
         counters.where(), sets, rows, shown(positions));
  };
  if (!positions.is_array() || positions.size() != sets) wrong();
  std::vector<int64_t> values;
  int64_t left = rows;
  for (const Json& position : positions) {
    if (!position.is_number_unsigned() || position.get<uint64_t>() > static_cast<uint64_t>(left)) wrong();
    values.push_back(position.get<int64_t>());
    left -= values.back();
  }
  if (left != 0) wrong();
  return values;
}

}  // namespace

std::optional<fs::path> newest_checkpoint(const fs::path& checkpoints) {
  const std::map<int64_t, fs::path> found = checkpoints_in(checkpoints);
  if (found.empty()) return std::nullopt;
  return found.rbegin()->second;
}

fs::path checkpointed_model(const fs::path& checkpoint) { return checkpoint / kModel; }

std::optional<fs::path> best_model(const fs::path& checkpoints) {
  const std::vector<fs::path> found = best_folders(checkpoints);
  if (found.empty()) return std::nullopt;
  return found.front();
}

void save_checkpoint(const fs::path& checkpoints, const Embedder& model, const Weights& weights,
                     const OptimizerState& optimizer, const Progress& progress, const OrderedJson& print,
                     World& world, const Recipe& recipe) {
  const fs::path best = progress.best ? best_folder(checkpoints, progress.best->total_step) : fs::path();
  std::optional<StagedFolder> staged;
  std::optional<SafetensorsWriter> state;
  const std::vector<NamedState> named = named_state(weights, optimizer);
  on_first_rank(world, [&] {
    if (progress.best && progress.best->total_step == progress.total_step) save_best(best, model, recipe);
    staged.emplace(checkpoints / fmt::format("step-{}", progress.total_step));
    if (weights.parameters.size() == model.parameters().size()) {
      model.save(staged->path() / kModel);
    } else {
      write_safetensors(staged->path() / kTrained, named_weights(weights));
    }
    std::vector<NamedTensor> described;
    for (const NamedState& part : named) described.push_back(part.described(weights));
    state.emplace(staged->path() / kState, described);
  });
  std::exception_ptr error;  // the others are on their way through all tensors: it is told behind the last
  for (const NamedState& part : named) {
    const NamedTensor whole = part.collected(weights, world);
    if (!state || error) continue;
    try {
      state->write(whole);
    } catch (...) {
      error = std::current_exception();
    }
  }
  on_first_rank(world, [&] {
    if (error) std::rethrow_exception(error);
    state->commit();
    OrderedJson counters = {{"format", kFormat},
                            {"stage", progress.stage},
                            {"step", progress.step},
                            {"positions", progress.positions},
                            {"run", print}};
    if (progress.best)
      counters["best"] = {{"total_step", progress.best->total_step}, {"figure", progress.best->figure}};
    write_json(staged->path() / kCounters, counters);
    const std::map<int64_t, fs::path> older = checkpoints_in(checkpoints);
    staged->commit();
    for (const auto& [step, path] : older) remove_whole(path);
    for (const fs::path& folder : best_folders(checkpoints))
      if (folder != best) remove_whole(folder);
  });
}

void check_same_run(const fs::path& checkpoint, const OrderedJson& print) {
  const JsonObject counters = JsonObject::read(checkpoint / kCounters);
  if (counters.integer("format") != kFormat)
    fail("{}: format: expected {}, got {}; it was written by another version", counters.where(), kFormat,
         counters.integer("format"));
  const JsonObject saved = counters.object("run");
  if (const std::string differs = difference(saved.raw(), print); !differs.empty())
    fail("{}: {}; resume with the checkpoint's recipe, data and model, or start anew without it",
         counters.where(), differs);
}

Progress load_checkpoint(const fs::path& checkpoint, const Recipe& recipe, const Weights& weights,
                         OptimizerState& optimizer, World& world) {
  const JsonObject counters = JsonObject::read(checkpoint / kCounters);
  Progress progress;
  progress.stage = counters.integer("stage", 0, static_cast<int64_t>(recipe.stages.size()) - 1);
  const StageRecipe& stage = recipe.stages[static_cast<size_t>(progress.stage)];
  progress.step = counters.integer("step", 0, stage.steps);
  progress.total_step = progress.step;
  for (int64_t i = 0; i < progress.stage; ++i)
    progress.total_step += recipe.stages[static_cast<size_t>(i)].steps;
  progress.positions = read_positions(counters, stage.data.empty() ? recipe.data.size() : stage.data.size(),
                                      progress.step * stage.batch_size);
  progress.best = read_best(counters, checkpoint.parent_path());
  optimizer = {.kind = stage.optimizer, .steps = progress.step};
  if (fs::exists(checkpoint / kTrained)) {
    restore_tensors(named_weights(weights), TensorFiles::open(checkpoint / kTrained));
  } else {
    restore_model(checkpointed_model(checkpoint), weights);
  }
  restore_state(weights, optimizer, TensorFiles::open(checkpoint / kState), world);
  on_all_ranks(world, [&] {
    if (const std::string broken = broken_weight(weights, optimizer); !broken.empty())
      fail("{}: '{}': expected finite numbers alone, got others; remove this checkpoint and start anew",
           checkpoint.string(), broken);
  });
  return progress;
}

void remove_checkpoints(const fs::path& checkpoints) {
  if (!fs::is_directory(checkpoints)) return;
  for (const auto& [step, path] : checkpoints_in(checkpoints)) remove_whole(path);
  for (const fs::path& folder : best_folders(checkpoints)) remove_whole(folder);
  remove_staged(checkpoints);
  std::error_code not_empty;
  fs::remove(checkpoints, not_empty);
}

}  // namespace decovec
