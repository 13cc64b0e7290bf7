// JSON from outside, with errors that name file, key and expectation.
#pragma once
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace decovec {

using Json = nlohmann::json;                 // keys sorted: what we read, and what we write
using OrderedJson = nlohmann::ordered_json;  // keys as inserted: files whose order readers know

/// Parses one JSON text. Throws std::runtime_error "where: ..." for bad syntax, duplicate keys, text that is
/// not UTF-8, or nesting deeper than 64.
Json parse_json(std::string_view text, const std::string& where);
Json read_json(const std::filesystem::path& file);
/// Written with two spaces of indent and a last newline, whole (see write_file).
void write_json(const std::filesystem::path& file, const OrderedJson& json);

/// A JSON object with the name of its origin: typed look-ups whose errors read "config.json: 'hidden_size':
/// expected a positive integer, got \"big\"". A key that is absent or null counts as absent.
class JsonObject {
 public:
  /// Throws std::runtime_error unless `json` is an object.
  JsonObject(Json json, std::string where);
  static JsonObject read(const std::filesystem::path& file);

  bool has(const std::string& key) const;  // present and not null
  const Json& raw() const& { return json_; }
  const Json& raw() && = delete;  // a loop over a temporary's value would outlive it: name the object first
  const std::string& where() const { return where_; }

  std::string string(const std::string& key) const;
  std::string string(const std::string& key, const std::string& fallback) const;
  bool boolean(const std::string& key, bool fallback) const;
  double number(const std::string& key) const;
  double number(const std::string& key, double fallback) const;
  /// An integer in [minimum, maximum].
  int64_t integer(const std::string& key, int64_t minimum = 0, int64_t maximum = int64_t{1} << 40) const;
  int64_t integer_or(const std::string& key, int64_t fallback, int64_t minimum = 0,
                     int64_t maximum = int64_t{1} << 40) const;
  /// The object under `key`; throws where it is absent or something else.
  JsonObject object(const std::string& key) const;

 private:
  const Json* find(const std::string& key) const;  // null where absent or null
  const Json& at(const std::string& key, std::string_view expected) const;
  [[noreturn]] void mismatch(const std::string& key, std::string_view expected, const Json& got) const;

  Json json_;
  std::string where_;
};

/// A short rendering of a value for error messages (at most 60 characters).
std::string shown(const Json& json);

}  // namespace decovec
