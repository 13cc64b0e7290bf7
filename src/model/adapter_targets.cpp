#include "model/adapter_targets.hpp"

#include <algorithm>
#include <map>

#include "io/error.hpp"
#include "model/low_rank.hpp"
#include "text/regex.hpp"

namespace decovec {
namespace {

// A regular expression of a whole path.
class WholePath {
 public:
  WholePath(const std::string& pattern, const std::string& where)
      : regex_(fmt::format("\\A(?:{})\\z", pattern), where) {}

  bool matches(const std::string& path) const {
    std::vector<Regex::Match> found;
    regex_.find_all(path, found);
    return !found.empty();
  }

 private:
  Regex regex_;
};

bool ends_with_name(const std::string& path, const std::vector<std::string>& names) {
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return path == name || path.ends_with("." + name); });
}

// The number that stands at `begin` of a path with a dot behind it; -1 where there is none.
int64_t number_at(std::string_view path, size_t begin) {
  const size_t end = path.find_first_not_of("0123456789", begin);
  if (end == path.npos || path[end] != '.' || end == begin || end - begin > 9) return -1;
  return std::stoll(std::string(path.substr(begin, end - begin)));
}

// The layer that a path lies in: the number behind the first of `lists` that has one, or without lists behind
// the first name that is not the path's first. -1 where there is none.
int64_t layer_of(const std::string& path, const std::vector<std::string>& lists) {
  if (lists.empty()) {
    for (size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1))
      if (path.rfind('.', dot - 1) < dot && number_at(path, dot + 1) >= 0) return number_at(path, dot + 1);
    return -1;
  }
  const std::string dotted = "." + path;
  for (const std::string& list : lists) {
    const std::string name = fmt::format(".{}.", list);
    for (size_t at = dotted.find(name); at != dotted.npos; at = dotted.find(name, at + 1))
      if (const int64_t number = number_at(dotted, at + name.size()); number >= 0) return number;
  }
  return -1;
}

// The rules of one adapter_config.json. Source: PEFT's check_target_module_exists and get_pattern_key.
class Rules {
 public:
  Rules(const AdapterConfig& config, const std::string& where) : config_(config) {
    const auto key = [&](const char* name) { return fmt::format("{}: '{}'", where, name); };
    if (!config.excluded.pattern.empty())
      excluded_.emplace_back(config.excluded.pattern, key("exclude_modules"));
    if (!config.targets.pattern.empty() && !all_linear())
      targets_.emplace_back(config.targets.pattern, key("target_modules"));
    for (const auto& [pattern, rank] : config.rank_pattern)
      ranks_.emplace_back(WholePath(ending(pattern), key("rank_pattern")), rank);
    for (const auto& [pattern, alpha] : config.alpha_pattern)
      alphas_.emplace_back(WholePath(ending(pattern), key("alpha_pattern")), alpha);
  }

  bool targets(const std::string& path, bool linear) const {
    if (!config_.excluded.pattern.empty() ? excluded_[0].matches(path)
                                          : ends_with_name(path, config_.excluded.names))
      return false;
    if (lies_in_saved(path)) return false;
    if (all_linear()) return linear;
    if (!targets_.empty()) return targets_[0].matches(path);
    const std::vector<std::string>& names = config_.targets.names;
    if (std::find(names.begin(), names.end(), path) != names.end()) return true;
    if (!ends_with_name(path, names)) return false;
    if (config_.layers.empty()) return true;
    const int64_t layer = layer_of(path, config_.layers_pattern);
    return std::find(config_.layers.begin(), config_.layers.end(), layer) != config_.layers.end();
  }

  int64_t rank(const std::string& path) const { return first(ranks_, path, config_.rank); }
  double scale(const std::string& path) const {
    const auto r = static_cast<double>(rank(path));
    return first(alphas_, path, config_.alpha) / (config_.rslora ? std::sqrt(r) : r);
  }

 private:
  bool all_linear() const {
    std::string lower = config_.targets.pattern;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    return lower == "all-linear";
  }
  static std::string ending(const std::string& pattern) { return fmt::format("(?:.*\\.)?(?:{})", pattern); }
  // A module that is saved whole, or a part of one, has no adapter.
  bool lies_in_saved(const std::string& path) const {
    return std::any_of(
        config_.modules_to_save.begin(), config_.modules_to_save.end(), [&](const std::string& name) {
          return fmt::format(".{}.", path).find(fmt::format(".{}.", name)) != std::string::npos;
        });
  }
  template <class Value>
  static Value first(const std::vector<std::pair<WholePath, Value>>& patterns, const std::string& path,
                     Value otherwise) {
    for (const auto& [pattern, value] : patterns)
      if (pattern.matches(path)) return value;
    return otherwise;
  }

  const AdapterConfig& config_;
  std::vector<WholePath> excluded_, targets_;  // at most one each
  std::vector<std::pair<WholePath, int64_t>> ranks_;
  std::vector<std::pair<WholePath, double>> alphas_;
};

}  // namespace

std::vector<AdapterTarget> find_targets(Transformer& transformer, const AdapterConfig& config,
                                        const std::string& path_prefix, const std::string& where) {
  std::map<const void*, Linear*> linear_of;
  for (TransformerLayer& layer : transformer.layers)
    for (Linear* linear : linears(layer)) linear_of[linear->weight.unsafeGetTensorImpl()] = linear;

  const Rules rules(config, where);
  std::vector<AdapterTarget> targets;
  for (const Parameter& parameter : parameters(transformer)) {
    const std::string_view ending = ".weight";
    if (!parameter.name.ends_with(ending)) continue;
    const std::string module = parameter.name.substr(0, parameter.name.size() - ending.size());
    const std::string path = path_prefix + module;
    const auto found = linear_of.find(parameter.holder.unsafeGetTensorImpl());
    const bool linear = found != linear_of.end();
    if (!rules.targets(path, linear)) continue;
    const bool embedding = parameter.holder.is_same(transformer.embedding);
    if (!linear && !embedding)
      fail("{}: 'target_modules': '{}' is neither a linear map nor the embedding", where, path);
    const std::vector<int64_t> shape = parameter.shape();
    targets.push_back({.module = module,
                       .linear = linear ? found->second : nullptr,
                       .row = parameter.row,
                       .rows = shape[embedding ? 1 : 0],
                       .in = shape[embedding ? 0 : 1],
                       .rank = rules.rank(path),
                       .scale = rules.scale(path)});
  }
  if (targets.empty() && config.modules_to_save.empty())
    fail("{}: 'target_modules': none of the decoder's modules is among them", where);
  return targets;
}

bool is_saved_whole(const AdapterConfig& config, const std::string& parameter_path) {
  for (size_t end = parameter_path.rfind('.'); end != std::string::npos && end > 0;
       end = parameter_path.rfind('.', end - 1)) {
    const std::string module = parameter_path.substr(0, end);
    for (const std::string& name : config.modules_to_save)
      if (module.ends_with(name)) return true;
  }
  return false;
}

}  // namespace decovec
