// Tokens that are found in a text before anything else looks at it.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace decovec {

struct AddedToken {
  std::string content;
  int64_t id = 0;
  bool lstrip = false, rstrip = false;  ///< takes the white space before, after it along
  bool special = true;                  ///< stands for no text
};

/// A fixed set of tokens with distinct contents and ids.
class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens);

  /// Cuts a text into the tokens found (at each position from the left the longest, as transformers does) and
  /// the stretches between them, none of them empty, in order.
  void split(std::string_view text, const std::function<void(std::string_view stretch)>& on_stretch,
             const std::function<void(const AddedToken&)>& on_token) const;

  /// The token with an id, or null.
  const AddedToken* find(int64_t id) const;
  const std::vector<AddedToken>& by_id() const { return tokens_; }

 private:
  const AddedToken* longest_at(std::string_view text, size_t position) const;

  std::vector<AddedToken> tokens_;                  // by id
  std::unordered_map<int64_t, size_t> index_;       // id to place in tokens_
  std::vector<std::vector<size_t>> by_first_byte_;  // 256 lists of places in tokens_, longest content first
};

}  // namespace decovec
