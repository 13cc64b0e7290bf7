// What the parts of a tokenizer.json have in common.
#pragma once
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "io/json.hpp"
#include "text/regex.hpp"

namespace decovec {

/// Refuses, by its name, a key that is not one of `keys` ("type" always is).
void expect_keys(const JsonObject& json, std::initializer_list<std::string_view> keys);

/// A flag that must be there.
bool read_flag(const JsonObject& json, const std::string& key);

/// 'pattern': {"String": text} or {"Regex": pattern}.
Regex read_pattern(const JsonObject& json);

/// Calls `use` for each object of the list under `key`.
void for_each_object(const JsonObject& json, const std::string& key,
                     const std::function<void(const JsonObject&)>& use);

}  // namespace decovec
