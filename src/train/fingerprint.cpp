#include "train/fingerprint.hpp"

#include <algorithm>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "decovec/world/random.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "model/adapter_config.hpp"
#include "model/adapter_folder.hpp"
#include "model/folder.hpp"
#include "train/outputs.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

std::string shown_hash(uint64_t bits) { return fmt::format("{:016x}", bits); }
std::string shown_hash(RandomKey key) { return shown_hash(random_bits(key)); }

// The sum of a tensor's values as whole numbers of their bits: exact, whatever the order and the device.
int64_t sum_of_bits(const at::Tensor& values) {
  const int64_t bytes = values.element_size();
  const at::ScalarType type = bytes == 2 ? at::kShort : bytes == 4 ? at::kInt : at::kLong;
  return values.view(type).sum(at::kLong).item<int64_t>();
}

std::string weights_hash(const Embedder& model) {
  at::NoGradGuard no_grad;
  RandomKey key(0);
  for (const Parameter& parameter : model.parameters())
    key = key.with(parameter.name).with(static_cast<uint64_t>(sum_of_bits(parameter.value())));
  return shown_hash(key);
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

std::string kind_name(DataKind kind) {
  switch (kind) {
    case DataKind::retrieval:
      return "retrieval";
    case DataKind::classification:
      return "classification";
    case DataKind::clustering:
      return "clustering";
    case DataKind::sts:
      return "sts";
  }
  return "";
}

// Every file below a folder: JSON that is small enough to be told, else a hash.
OrderedJson files_below(const fs::path& folder) {
  constexpr size_t kMostBytes = 16384;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  OrderedJson described = OrderedJson::object();
  for (const fs::path& file : files) {
    const std::string bytes = read_file(file);
    const bool told = file.extension() == ".json" && bytes.size() <= kMostBytes;
    described[file.lexically_relative(folder).string()] =
        told ? OrderedJson(parse_json(bytes, file.string()))
             : OrderedJson(shown_hash(RandomKey(0).with(bytes)));
  }
  return described;
}

}  // namespace

OrderedJson fingerprint(const Recipe& recipe, const std::map<std::string, Dataset>& datasets,
                        const Embedder& model) {
  OrderedJson print = {
      {"seed", recipe.seed},
      {"dtype", c10::toString(model.dtype())},
      {"attention", model.transformer.config.attention == Attention::causal ? "causal" : "bidirectional"},
      {"pooling", name_of(model.pooling)},
      {"bos", model.rule.bos},
      {"eos", static_cast<int>(model.rule.eos)},
      {"instruction", static_cast<int>(model.rule.instruction)},
      {"max_length", model.rule.max_length},
      {"before", model.rule.before},
      {"after", model.rule.after}};
  if (!recipe.best.empty()) {  // evaluations without it change nothing
    print["best"] = recipe.best;
    print["evaluate_every"] = recipe.evaluate_every;
  }
  print["adapter"] = nullptr;
  if (const Adapter* adapter = unmerged_adapter(model)) {
    print["adapter"] = write_adapter_config(adapter->config);
    print["adapter"].erase("base_model_name_or_path");
    print["merge_output"] = recipe.merge_output;
  }
  for (const StageRecipe& stage : recipe.stages) {
    OrderedJson losses = OrderedJson::array();
    for (const LossRecipe& loss : stage.losses)
      losses.push_back({{"loss", loss.description}, {"weight", loss.weight}, {"data", loss.data}});
    print["stages"].push_back(stage.name);
    print["stage"][stage.name] = {{"data", stage.data},
                                  {"losses", losses},
                                  {"batch_size", stage.batch_size},
                                  {"homogeneous_ratio", stage.homogeneous_ratio},
                                  {"size_exponent", stage.size_exponent},
                                  {"steps", stage.steps},
                                  {"optimizer", stage.optimizer == Optimizer::adamw ? "adamw" : "sgd"},
                                  {"learning_rate", stage.learning_rate},
                                  {"layer_decay", stage.layer_decay},
                                  {"hidden_dropout", stage.hidden_dropout},
                                  {"warmup_steps", stage.warmup_steps},
                                  {"schedule", schedule_name(stage.schedule)},
                                  {"weight_decay", stage.weight_decay},
                                  {"clip", stage.clip}};
  }
  for (const DataRecipe& data : recipe.data) {
    const auto found = datasets.find(data.name);
    if (found == datasets.end()) continue;  // no stage uses it
    print["data"][data.name] = {{"examples", found->second.size()},
                                {"content", shown_hash(found->second.facts().content)},
                                {"query_prompt", data.query_prompt},
                                {"document_prompt", data.document_prompt},
                                {"kind", kind_name(data.kind)},
                                {"threshold", data.threshold ? Json(*data.threshold) : Json()},
                                {"weight", data.weight},
                                {"max_examples", data.max_examples},
                                {"in_batch_negatives", data.in_batch_negatives},
                                {"negatives", data.negatives}};
  }
  print["model"] = nullptr;
  print["starting_weights"] = weights_hash(model);
  return print;
}

OrderedJson fingerprint_of_files(const Embedder& model, const Recipe& recipe, const fs::path& scratch) {
  save_output_settings(model, recipe, scratch);
  OrderedJson files = files_below(scratch);
  files.erase(folder::kAdapterConfig);  // told by `adapter`; it says where the base lies, which may change
  return files;
}

std::string difference(const Json& expected, const OrderedJson& run, const ComparedRuns& names,
                       const std::string& where) {
  if (!expected.is_object() || !run.is_object())
    return expected == Json(run) ? ""
                                 : fmt::format("{}: {} has {}, {} {}", where, names.expected, shown(expected),
                                               names.run, shown(Json(run)));
  const auto below = [&](const std::string& key) { return where.empty() ? key : where + "." + key; };
  for (const auto& [key, value] : run.items()) {
    if (!expected.contains(key))
      return fmt::format("{}: in {}, not in {}", below(key), names.run, names.expected);
    if (std::string found = difference(expected.at(key), value, names, below(key)); !found.empty())
      return found;
  }
  for (const auto& [key, value] : expected.items())
    if (!run.contains(key)) return fmt::format("{}: in {}, not in {}", below(key), names.expected, names.run);
  return "";
}

}  // namespace decovec
