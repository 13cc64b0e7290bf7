// Keys that a JSON object may have.
#pragma once
#include <set>
#include <string>

#include "io/json.hpp"

namespace decovec {

/// Throws std::runtime_error "config.json: 'key': ..." for a key that is none of `known`.
void refuse_unknown_keys(const JsonObject& object, const std::set<std::string>& known);

}  // namespace decovec
