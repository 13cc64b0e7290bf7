#pragma once
#include <functional>

#include "io/json.hpp"
#include "text/pre_tokenizer.hpp"
#include "text/regex.hpp"
#include "text/unicode.hpp"

namespace decovec {

/// What becomes of the matches that a text is split at.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Under the key "behavior"; required.
SplitBehavior read_behavior(const JsonObject& json);

/// Splits each piece at the matches of a pattern; `invert`: at what is between them.
void split_by(Pieces& pieces, const Regex& pattern, SplitBehavior behavior, bool invert);

/// Splits each piece at the characters of a set, each of which is a match.
void split_by(Pieces& pieces, CharacterSet set, SplitBehavior behavior);

/// Leaves of each piece the longest stretches of word characters, and those of others that are no white
/// space.
void split_words(Pieces& pieces);

}  // namespace decovec
