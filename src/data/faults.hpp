// What kinds of data sets ask of their examples, and how they tell what is wrong with them.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "decovec/data/dataset.hpp"
#include "decovec/world/random.hpp"
#include "io/error.hpp"
#include "world/parallel.hpp"

namespace decovec {

/// Examples of one fault: how many, and the first.
class Faults {
 public:
  void add(int64_t example, const std::string& got) {
    if (count_++ == 0) first_ = fmt::format("example {}: {}", example + 1, got);
  }
  /// Throws std::runtime_error where there is one.
  void refuse(const Dataset& dataset, std::string_view expected) const {
    if (count_ > 0)
      fail("data set '{}': expected {}, got otherwise in {} of {} examples, first in {}", dataset.name(),
           expected, count_, dataset.size(), first_);
  }

 private:
  int64_t count_ = 0;
  std::string first_;
};

/// "1 label", "2 labels".
inline std::string counted(size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

/// Throws std::runtime_error where the numbers of a set's examples do not fit 32 bits.
inline void check_numbers_fit(const Dataset& dataset) {
  if (dataset.size() > int64_t{1} << 32)
    fail("data set '{}': expected at most 2^32 examples, got {}", dataset.name(), dataset.size());
}

/// 64 bits that tell texts apart.
inline uint64_t hash_of(std::string_view text) { return random_bits(RandomKey(0).with(text)); }
/// An id that no text's hash equals by design, and none of another set.
inline uint64_t id_of(const Dataset& dataset, uint64_t hash) {
  return random_bits(RandomKey(0).with("id").with(dataset.name()).with(hash));
}

/// Calls use(index, example) for all examples, in parallel.
template <class Use>
void for_each_example(const Dataset& dataset, Use&& use) {
  parallel_for(0, dataset.size(), /*grain_size=*/1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) use(i, dataset.example(i));
  });
}

}  // namespace decovec
