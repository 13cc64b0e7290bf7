// An adapter that nothing has trained yet.
#include <cmath>
#include <set>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "decovec/model/embedder.hpp"
#include "io/error.hpp"
#include "model/adapter_folder.hpp"
#include "model/adapter_targets.hpp"
#include "model/low_rank.hpp"
#include "model/ops.hpp"

namespace decovec {
namespace {

void check_config(const AdapterConfig& config) {
  const auto check = [](const char* what, bool right, const char* expected, double got) {
    if (!right) reject("add_adapter: {}: expected {}, got {}", what, expected, got);
  };
  const auto check_rank = [&](int64_t rank) {
    check("rank", rank >= 1 && rank <= int64_t{1} << 20, "1 to 1048576", static_cast<double>(rank));
  };
  const auto check_alpha = [&](double alpha) {
    check("alpha", alpha > 0 && std::isfinite(alpha), "a number above 0", alpha);
  };
  check_rank(config.rank);
  check_alpha(config.alpha);
  for (const auto& [pattern, rank] : config.rank_pattern) check_rank(rank);
  for (const auto& [pattern, alpha] : config.alpha_pattern) check_alpha(alpha);
  check("dropout", config.dropout >= 0 && config.dropout < 1, "a share from 0 to below 1", config.dropout);
}

// A name that no module has would be passed over without a word.
void check_names(const Transformer& transformer, const AdapterConfig& config) {
  std::set<std::string> modules;
  for (const Parameter& parameter : parameters(transformer))
    modules.insert(parameter.name.substr(0, parameter.name.rfind('.')));
  const auto is_module = [&](const std::string& name) {
    return std::any_of(modules.begin(), modules.end(), [&](const std::string& module) {
      return module == name || module.ends_with("." + name) || module.find(name + ".") != module.npos;
    });
  };
  for (const auto& [what, names] : {std::pair("targets", &config.targets.names),
                                    {"excluded", &config.excluded.names},
                                    {"modules_to_save", &config.modules_to_save}})
    for (const std::string& name : *names)
      if (!is_module(name))
        reject("add_adapter: {}: '{}': the decoder has no such module; its first layer has {}", what, name,
               [&] {
                 std::string known;
                 for (const std::string& module : modules)
                   if (module.starts_with("layers.0."))
                     known += (known.empty() ? "" : ", ") + module.substr(module.rfind('.') + 1);
                 return known;
               }());
  for (const int64_t layer : config.layers)
    if (layer < 0 || layer >= transformer.config.layers)
      reject("add_adapter: layers: expected 0 to {}, got {}", transformer.config.layers - 1, layer);
}

LowRank new_change(const Transformer& transformer, const AdapterTarget& target, bool dora, RandomKey key) {
  const at::Tensor& embedding = transformer.embedding;
  const auto options = embedding.options().dtype(adapter_dtype(embedding.scalar_type()));
  LowRank change{.row = target.row, .scale = target.scale};
  change.a = at::zeros({target.rank, target.in}, options);
  change.b = at::zeros({target.rows, target.rank}, options);
  if (target.linear != nullptr) {
    // PEFT's kaiming_uniform_(a = sqrt(5)).
    change.a.copy_(
        random_uniform(key, change.a.sizes().vec(), 1 / std::sqrt(static_cast<double>(target.in))));
  } else {
    change.b.copy_(random_normal(key, change.b.sizes().vec(), 1));
  }
  if (dora) {
    const at::Tensor weight = target.linear == nullptr
                                  ? embedding.detach().t()
                                  : target.linear->weight.detach().narrow(0, target.row, target.rows);
    change.magnitude = weight.to(options.dtype()).norm(2, 1);
  }
  return change;
}

}  // namespace

void Embedder::add_adapter(const AdapterConfig& config, uint64_t seed) {
  at_boundary("Embedder::add_adapter", [&] {
    const at::NoGradGuard no_graph;
    if (unmerged_adapter(*this) != nullptr)
      reject("add_adapter: an adapter lies beside the weights already; merge it first (merge_adapters)");
    check_config(config);
    check_names(transformer, config);
    Adapter adapter{.folder = {}, .config = config, .merged = false};
    adapter.config.base = base;
    // In paths without a prefix, PEFT finds the layers by their list's name alone.
    if (!config.layers.empty() && config.layers_pattern.empty()) adapter.config.layers_pattern = {"layers"};
    // Paths are those of transformers' AutoModel.
    if (config.task.empty()) adapter.config.task = "FEATURE_EXTRACTION";
    const std::vector<Parameter> weights = decovec::parameters(transformer);
    const RandomKey key = RandomKey(seed).with("adapter");
    std::set<std::string> targeted;
    for (const AdapterTarget& target :
         find_targets(transformer, adapter.config, adapter.path_prefix, "add_adapter")) {
      const LowRank change = new_change(transformer, target, config.dora, key.with(target.module));
      if (target.linear == nullptr) {
        transformer.embedding_adapter = change;
      } else {
        target.linear->adapters.push_back(change);
      }
      targeted.insert(target.module);
    }
    for (const Parameter& parameter : weights)
      if (replaces(config, parameter.name,
                   targeted.contains(parameter.name.substr(0, parameter.name.rfind('.')))))
        adapter.replaced.push_back(parameter.name);
    adapters.push_back(std::move(adapter));
  });
}

}  // namespace decovec
