// Keys that a JSON object may have.
#pragma once
#include <filesystem>
#include <set>
#include <string>

#include "io/json.hpp"

namespace decovec {

/// Throws std::runtime_error "config.json: 'key': ..." for a key that is none of `known`.
void refuse_unknown_keys(const JsonObject& object, const std::set<std::string>& known);

/// The path under `key`; empty where the key is absent. Throws std::runtime_error for a NUL in it, which
/// would end the name early.
std::filesystem::path read_path(const JsonObject& object, const std::string& key);

}  // namespace decovec
