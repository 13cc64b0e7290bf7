// Patterns in the syntax of Oniguruma, which is what tokenizer.json files hold.
#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "text/code_point_set.hpp"

namespace decovec {

/// A pattern in the parts that every engine has: groups, alternatives, repeats and look-around in Perl's
/// notation, and between them sets of code points, each standing for one character. What a name like \p{L}, a
/// class or matching without regard to case means is settled here.
struct RegexPattern {
  std::vector<std::variant<std::string, CodePointSet>> parts;
};

/// Throws std::runtime_error "where: ..." for what Oniguruma would not take, and for what other engines do
/// not have or do differently: back references, calls, absence, conditions, named and keep-out operators, and
/// so on, each by its name.
RegexPattern parse_regex(std::string_view pattern, const std::string& where);

}  // namespace decovec
