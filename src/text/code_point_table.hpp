#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace decovec {

constexpr char32_t kCodePoints = 0x110000;

/// A value for each code point, in two stages: blocks of 256 code points, blocks of equal values held once.
template <class Value>
class CodePointTable {
 public:
  CodePointTable() = default;
  /// `runs`: (first code point, value up to the next run); sorted, and the first one begins at 0.
  explicit CodePointTable(std::span<const std::pair<char32_t, Value>> runs) {
    std::map<std::array<Value, kBlock>, uint16_t> known;
    auto run = runs.begin();
    for (char32_t first = 0; first < kCodePoints; first += kBlock) {
      std::array<Value, kBlock> block;
      for (char32_t i = 0; i < kBlock; ++i) {
        while (run + 1 != runs.end() && run[1].first <= first + i) ++run;
        block[i] = run->second;
      }
      const auto [entry, added] = known.try_emplace(block, static_cast<uint16_t>(known.size()));
      if (added) values_.insert(values_.end(), block.begin(), block.end());
      blocks_[first / kBlock] = entry->second;
    }
  }

  Value operator[](char32_t code_point) const {
    return values_[size_t{blocks_[code_point / kBlock]} * kBlock + code_point % kBlock];
  }

 private:
  static constexpr char32_t kBlock = 256;
  std::array<uint16_t, kCodePoints / kBlock> blocks_{};
  std::vector<Value> values_;
};

}  // namespace decovec
