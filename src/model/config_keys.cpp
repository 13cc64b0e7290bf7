#include "model/config_keys.hpp"

#include <algorithm>

#include "io/error.hpp"

namespace decovec {
namespace {

constexpr std::pair<std::string_view, Activation> kActivations[] = {
    {"silu", Activation::silu},
    {"gelu", Activation::gelu},
    {"gelu_pytorch_tanh", Activation::gelu_tanh},
    {"relu", Activation::relu},
};

constexpr const char* kLayerTypes = "layer_types";
constexpr const char* kSliding = "sliding_attention";
constexpr const char* kFull = "full_attention";

std::vector<bool> read_layer_types(const JsonObject& from, int64_t layers) {
  const Json& list = from.raw().at(kLayerTypes);
  if (!list.is_array() || static_cast<int64_t>(list.size()) != layers) {
    fail("{}: '{}': expected a list of {} (num_hidden_layers), got {}", from.where(), kLayerTypes, layers,
         list.is_array() ? fmt::format("{}", list.size()) : shown(list));
  }
  std::vector<bool> slides;
  for (const Json& type : list) {
    if (type != kSliding && type != kFull) {
      fail("{}: '{}': {} is not supported; expected {} or {}", from.where(), kLayerTypes, shown(type), kFull,
           kSliding);
    }
    slides.push_back(type == kSliding);
  }
  return slides;
}

}  // namespace

void ConfigKeys::integer(const std::string& key, int64_t& field, int64_t fallback, int64_t minimum,
                         int64_t maximum) {
  if (!reading()) {
    to_[key] = field;
  } else {
    field = from_->integer_or(key, fallback, minimum, maximum);
  }
}

void ConfigKeys::number(const std::string& key, double& field, std::optional<double> fallback) {
  if (!reading()) {
    to_[key] = field;
  } else {
    field = fallback ? from_->number(key, *fallback) : from_->number(key);
  }
}

void ConfigKeys::flag(const std::string& key, bool& field, bool fallback) {
  if (!reading()) {
    to_[key] = field;
  } else {
    field = from_->boolean(key, fallback);
  }
}

void ConfigKeys::number(const std::string& key, std::optional<double>& field) {
  if (reading()) {
    field = from_->has(key) ? std::optional(from_->number(key)) : std::nullopt;
  } else if (field) {
    to_[key] = *field;
  }
}

void ConfigKeys::nullable(const std::string& key, std::optional<double>& field, double fallback) {
  if (!reading()) {
    to_[key] = field ? OrderedJson(*field) : OrderedJson();
  } else if (from_->has(key)) {
    field = from_->number(key);
  } else {
    field = from_->raw().contains(key) ? std::nullopt : std::optional(fallback);
  }
}

void ConfigKeys::nullable(const std::string& key, std::optional<int64_t>& field,
                          std::optional<int64_t> fallback) {
  if (!reading()) {
    to_[key] = field ? OrderedJson(*field) : OrderedJson();
  } else if (from_->has(key)) {
    field = from_->integer(key, 1);
  } else {
    field = from_->raw().contains(key) ? std::nullopt : fallback;
  }
}

void ConfigKeys::numbers(const std::string& key, std::vector<double>& field) {
  if (!reading()) {
    to_[key] = field;
    return;
  }
  const Json list = from_->has(key) ? from_->raw().at(key) : Json();
  if (!list.is_array() ||
      !std::all_of(list.begin(), list.end(), [](const Json& one) { return one.is_number(); })) {
    fail("{}: '{}': expected a list of numbers, got {}", from_->where(), key, shown(list));
  }
  field = list.get<std::vector<double>>();
}

void ConfigKeys::activation(const std::string& key, Activation& field, Activation fallback) {
  std::string known;
  for (const auto& [name, value] : kActivations) {
    if (!reading() && value == field) to_[key] = name;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", name);
  }
  if (!reading()) return;
  field = fallback;
  if (!from_->has(key)) return;
  const std::string stated = from_->string(key);
  for (const auto& [name, value] : kActivations) {
    if (name == stated) {
      field = value;
      return;
    }
  }
  fail("{}: '{}': activation '{}' is not supported; expected {}", from_->where(), key, stated, known);
}

void ConfigKeys::layer_types(ModelConfig& config, const std::function<bool(int64_t)>& slides) {
  if (!reading()) {
    for (int64_t i = 0; i < config.layers; ++i)
      to_[kLayerTypes].push_back(window_of(config, i) ? kSliding : kFull);
    return;
  }
  const bool stated = from_->has(kLayerTypes);
  config.sliding_layers.clear();
  if (stated) {
    config.sliding_layers = read_layer_types(*from_, config.layers);
  } else {
    for (int64_t i = 0; i < config.layers; ++i) config.sliding_layers.push_back(slides(i));
  }
  const auto count = std::count(config.sliding_layers.begin(), config.sliding_layers.end(), true);
  if (stated && count > 0 && !config.sliding_window) {
    fail("{}: '{}': {} layers, but 'sliding_window' is null or switched off; give it a number",
         from_->where(), kLayerTypes, kSliding);
  }
  if (count == 0 || !config.sliding_window) config.sliding_window.reset();
  if (!config.sliding_window || count == config.layers) config.sliding_layers.clear();
}

}  // namespace decovec
