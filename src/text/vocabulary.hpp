// Strings with ids, looked up by the string.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace decovec {

/// A table of distinct strings, each with an id; the strings lie in one buffer, the table is one flat array.
class Vocabulary {
 public:
  /// Room for so many strings.
  explicit Vocabulary(size_t strings = 0);

  /// Adds a string with an id below 2^32 - 1. False, and nothing added, where the string is there already.
  bool add(std::string_view string, uint32_t id);
  std::optional<uint32_t> find(std::string_view string) const;
  size_t size() const { return size_; }
  /// The longest string's bytes.
  size_t longest() const { return longest_; }

 private:
  static constexpr uint32_t kEmpty = UINT32_MAX;
  struct Slot {
    uint32_t id = kEmpty;
    uint32_t hash = 0;
    uint32_t begin = 0, size = 0;  // of the string in bytes_
  };

  // The place of a string's slot, or of the empty one that it would take.
  size_t place_of(std::string_view string, uint32_t hash) const;
  void grow();

  std::string bytes_;
  std::vector<Slot> slots_;  // a power of two of them, at most half of them taken
  size_t size_ = 0, longest_ = 0;
};

}  // namespace decovec
