// Tokens that are found in a text before anything else looks at it.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/pattern_matcher.hpp"

namespace decovec {

struct AddedToken {
  std::string content;
  int64_t id = 0;
  bool single_word = false;             ///< only where no word character stands beside it
  bool lstrip = false, rstrip = false;  ///< takes the white space before, after it along
  bool normalized = false;              ///< looked for in the normalized text, and its content normalized
  bool special = true;                  ///< stands for no text

  bool operator==(const AddedToken&) const = default;
};

/// A fixed set of tokens with distinct contents and ids.
class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens = {});

  /// Cuts a text into the tokens found (from the left, at each place the longest one; a single_word token
  /// beside a word character is passed over) and the stretches between them, none of them empty, in order, as
  /// the Hugging Face tokenizers library does. `text` must be UTF-8. Time is linear in the text.
  void split(std::string_view text, const std::function<void(std::string_view stretch)>& on_stretch,
             const std::function<void(const AddedToken&)>& on_token) const;

  /// The token with an id, or null.
  const AddedToken* find(int64_t id) const;
  const std::vector<AddedToken>& by_id() const { return tokens_; }

 private:
  std::vector<AddedToken> tokens_;             // by id
  std::unordered_map<int64_t, size_t> index_;  // id to place in tokens_
  PatternMatcher matcher_;                     // of the contents, by place in tokens_
};

}  // namespace decovec
