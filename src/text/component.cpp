#include "text/component.hpp"

#include <algorithm>

#include "io/error.hpp"

namespace decovec {

void expect_keys(const JsonObject& json, std::initializer_list<std::string_view> keys) {
  for (const auto& [key, value] : json.raw().items())
    if (key != "type" && std::find(keys.begin(), keys.end(), key) == keys.end())
      fail("{}: {} has the key {}, which decovec does not know", json.where(), json.string("type"),
           shown(Json(key)));
}

bool read_flag(const JsonObject& json, const std::string& key) {
  if (!json.has(key)) fail("{}: '{}' is missing, expected true or false", json.where(), key);
  return json.boolean(key, false);
}

Regex read_pattern(const JsonObject& json) {
  const JsonObject pattern = json.object("pattern");
  if (pattern.raw().size() == 1 && pattern.has("String"))
    return Regex::literal(pattern.string("String"), pattern.where());
  if (pattern.raw().size() == 1 && pattern.has("Regex"))
    return Regex(pattern.string("Regex"), pattern.where());
  fail("{}: expected {{\"String\": text}} or {{\"Regex\": pattern}}, got {}", pattern.where(),
       shown(pattern.raw()));
}

void for_each_object(const JsonObject& json, const std::string& key,
                     const std::function<void(const JsonObject&)>& use) {
  const auto list = json.raw().find(key);
  if (list == json.raw().end() || !list->is_array())
    fail("{}: '{}': expected a list of objects, got {}", json.where(), key,
         list == json.raw().end() ? "nothing" : shown(*list));
  for (size_t i = 0; i < list->size(); ++i)
    use(JsonObject((*list)[i], fmt::format("{}: '{}'[{}]", json.where(), key, i)));
}

}  // namespace decovec
