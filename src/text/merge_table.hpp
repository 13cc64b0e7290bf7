// The merges of byte pair encoding, and what they make of a sequence of symbols.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace decovec {

/// A fixed list of merges: pairs of symbols, each with a rank and the symbol that takes their place.
class MergeTable {
 public:
  /// Room for so many merges.
  explicit MergeTable(size_t merges = 0);

  /// Adds a merge, or replaces the one of this pair. Ranks are below 2^32 - 1.
  void set(uint32_t left, uint32_t right, uint32_t rank, uint32_t merged);
  size_t size() const { return size_; }

  /// Replaces pairs, the lowest rank first and of one rank the leftmost pair first, until none is left: the
  /// symbols from `begin` on. Time is n log n for n symbols.
  void apply(std::vector<uint32_t>& symbols, size_t begin) const;

 private:
  /// Rank above, merged symbol below: of two, the lower is the one to take first.
  using Merge = uint64_t;
  static constexpr Merge kNoMerge = UINT64_MAX;
  struct Slot {
    uint64_t pair = UINT64_MAX;
    Merge merge = kNoMerge;
  };

  size_t place_of(uint64_t pair) const;
  Merge find(uint32_t left, uint32_t right) const;
  void apply_to_few(std::vector<uint32_t>& symbols, size_t begin) const;
  void apply_to_many(std::vector<uint32_t>& symbols, size_t begin) const;

  std::vector<Slot> slots_;  // a power of two of them, at most half of them taken
  size_t size_ = 0;
};

}  // namespace decovec
