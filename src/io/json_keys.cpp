#include "io/json_keys.hpp"

#include "io/error.hpp"

namespace decovec {

void refuse_unknown_keys(const JsonObject& object, const std::set<std::string>& known) {
  for (const auto& [key, value] : object.raw().items())
    if (!known.contains(key))
      fail("{}: '{}': {} is not a key that decovec knows", object.where(), key, shown(value));
}

}  // namespace decovec
