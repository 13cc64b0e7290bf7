// sentencepiece's precompiled normalization rules, which its library follows without looking where they lead.
#pragma once
#include <string>
#include <string_view>

namespace decovec {

/// Throws std::runtime_error unless every walk through the rules' double array stays inside it, ends inside
/// the table of replacements, and passes at most as many rules as the library has room for.
void check_charsmap(std::string_view charsmap, const std::string& where);

}  // namespace decovec
