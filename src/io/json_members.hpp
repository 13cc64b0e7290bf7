// One value of a large JSON text, without parsing the others.
#pragma once
#include <map>
#include <string>
#include <string_view>

namespace decovec {

/// Where the values of a JSON object stand in its text, by key: for files too large to parse for one value,
/// and for changing one value and no other byte. The values themselves are not checked; parse what you use.
/// Throws std::runtime_error "where: ..." for text that is no object, and for duplicate keys.
std::map<std::string, std::string_view> json_members(std::string_view text, const std::string& where);

}  // namespace decovec
