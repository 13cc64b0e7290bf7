#include "io/json_keys.hpp"

#include "io/error.hpp"

namespace decovec {

void refuse_unknown_keys(const JsonObject& object, const std::set<std::string>& known) {
  for (const auto& [key, value] : object.raw().items())
    if (!known.contains(key))
      fail("{}: '{}': {} is not a key that decovec knows", object.where(), key, shown(value));
}

std::filesystem::path read_path(const JsonObject& object, const std::string& key) {
  std::string path = object.string(key, "");
  if (path.find('\0') != path.npos)
    fail("{}: '{}': expected a path without NUL, got {}", object.where(), key, shown(Json(path)));
  return path;
}

}  // namespace decovec
