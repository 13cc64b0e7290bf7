// Many strings looked for in a text at once.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace decovec {

/// Finds at each place of a text the longest of a fixed set of patterns that begins there (Aho and Corasick
/// 1975, over the patterns and the text from their ends). Time is linear in the text for whatever patterns.
class PatternMatcher {
 public:
  struct Match {
    size_t begin = 0;
    size_t pattern = 0;  ///< its place among the patterns
  };

  /// The patterns: distinct, not empty. They are not looked at after the call.
  explicit PatternMatcher(const std::vector<std::string_view>& patterns);

  /// The longest pattern at each place where patterns begin, from the last place to the first.
  std::vector<Match> longest_at_each_place(std::string_view text) const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct State {
    uint32_t fallback = 0;        // the state of the longest proper beginning that is a state too
    uint32_t longest = kNone;     // the longest pattern that is complete here
    uint32_t begin = 0, end = 0;  // its edges
  };
  struct Edge {
    unsigned char byte = 0;
    uint32_t target = 0;
  };

  uint32_t target(uint32_t state, unsigned char byte) const;  // kNone without such an edge
  uint32_t next(uint32_t state, unsigned char byte) const;

  std::array<uint32_t, 256> first_{};  // from the root; 0, the root itself, where no pattern ends so
  std::vector<State> states_;
  std::vector<Edge> edges_;  // of each state, by byte
};

}  // namespace decovec
