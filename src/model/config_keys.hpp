// A config.json read into fields, or written from them, by one description.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "decovec/model/model_config.hpp"
#include "io/json.hpp"

namespace decovec {

/// The keys of one JSON object. Each call below names a key and the field that holds its value: reading sets
/// the field, to the fallback where the key is absent, and throws std::runtime_error that names file and key
/// for a wrong value; writing puts the field's value under the key.
class ConfigKeys {
 public:
  /// Writes.
  ConfigKeys() = default;
  /// Reads.
  explicit ConfigKeys(JsonObject from) : from_(std::move(from)) {}

  bool reading() const { return from_.has_value(); }
  /// What is read; only where `reading()`.
  const JsonObject& from() const { return *from_; }
  /// What has been written.
  OrderedJson& written() { return to_; }

  void integer(const std::string& key, int64_t& field, int64_t fallback, int64_t minimum = 1,
               int64_t maximum = int64_t{1} << 40);
  void number(const std::string& key, double& field, std::optional<double> fallback = std::nullopt);
  void flag(const std::string& key, bool& field, bool fallback);
  /// Absent or null: none. Written where there is one.
  void number(const std::string& key, std::optional<double>& field);
  /// null: none; absent: the fallback. Written also where there is none.
  void nullable(const std::string& key, std::optional<double>& field, double fallback);
  void nullable(const std::string& key, std::optional<int64_t>& field, std::optional<int64_t> fallback);
  void numbers(const std::string& key, std::vector<double>& field);
  void activation(const std::string& key, Activation& field, Activation fallback);
  /// The layers with a window: "layer_types", or `slides` of each layer's index where that is absent. Where
  /// no layer has one, there is no window.
  void layer_types(ModelConfig& config, const std::function<bool(int64_t)>& slides);

 private:
  std::optional<JsonObject> from_;
  OrderedJson to_ = OrderedJson::object();
};

}  // namespace decovec
