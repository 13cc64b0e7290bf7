// What the tokenizers library knows of Unicode, as flat lists; scripts/unicode_tables.py writes them.
// Everybody else asks unicode.hpp and code_point_set.hpp.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace decovec::unicode_tables {

/// first, cell: from the code point `first` to the next pair's, all code points are members of the same sets.
extern const std::span<const uint32_t> runs;
/// For each cell: how many sets, and which.
extern const std::span<const uint8_t> cells;
/// The sets that Oniguruma's \p{...} names: lower case, no spaces, '-' or '_'; sorted by name.
extern const std::span<const std::pair<std::string_view, int>> names;
/// The set of CharacterSet's first member; the others follow.
extern const int first_library_set;

/// code point, n, its full decomposition of n code points. Hangul syllables are left to arithmetic.
extern const std::span<const uint32_t> canonical_decompositions;
/// The same for compatibility decompositions, where they are not the canonical ones.
extern const std::span<const uint32_t> compatibility_decompositions;
/// first, class: the canonical combining class from `first` on. Not stated for what decomposes canonically.
extern const std::span<const uint32_t> combining_classes;
/// first, second, the code point that both compose to; sorted.
extern const std::span<const uint32_t> compositions;
/// code point, n, its lower case of n code points.
extern const std::span<const uint32_t> lower_case;

}  // namespace decovec::unicode_tables
