#include "text/merge_table.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>

namespace decovec {
namespace {

// Up to so many symbols a scan for the lowest rank costs less than a heap.
constexpr size_t kFew = 64;

constexpr uint32_t kNowhere = UINT32_MAX;

uint64_t pair_of(uint32_t left, uint32_t right) { return static_cast<uint64_t>(left) << 32 | right; }

}  // namespace

MergeTable::MergeTable(size_t merges) : slots_(std::bit_ceil(std::max<size_t>(8, 2 * merges))) {}

size_t MergeTable::place_of(uint64_t pair) const {
  const size_t mask = slots_.size() - 1;
  uint64_t hash = pair * 0x9e3779b97f4a7c15;
  hash ^= hash >> 32;
  size_t place = hash & mask;
  while (slots_[place].pair != pair && slots_[place].merge != kNoMerge) place = (place + 1) & mask;
  return place;
}

MergeTable::Merge MergeTable::find(uint32_t left, uint32_t right) const {
  return slots_[place_of(pair_of(left, right))].merge;
}

void MergeTable::set(uint32_t left, uint32_t right, uint32_t rank, uint32_t merged) {
  if (2 * (size_ + 1) > slots_.size()) {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (const Slot& slot : old)
      if (slot.merge != kNoMerge) slots_[place_of(slot.pair)] = slot;
  }
  Slot& slot = slots_[place_of(pair_of(left, right))];
  if (slot.merge == kNoMerge) ++size_;
  slot = {pair_of(left, right), static_cast<Merge>(rank) << 32 | merged};
}

void MergeTable::apply(std::vector<uint32_t>& symbols, size_t begin) const {
  if (symbols.size() - begin <= kFew) {
    apply_to_few(symbols, begin);
  } else {
    apply_to_many(symbols, begin);
  }
}

void MergeTable::apply_to_few(std::vector<uint32_t>& symbols, size_t begin) const {
  uint32_t* const symbol = symbols.data() + begin;
  size_t count = symbols.size() - begin;
  if (count < 2) return;
  std::array<Merge, kFew> merges;  // of symbol i and the one after it
  for (size_t i = 0; i + 1 < count; ++i) merges[i] = find(symbol[i], symbol[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i)
      if (merges[i] < merges[best]) best = i;
    if (merges[best] == kNoMerge) break;
    symbol[best] = static_cast<uint32_t>(merges[best]);
    --count;
    for (size_t i = best + 1; i < count; ++i) {
      symbol[i] = symbol[i + 1];
      merges[i - 1] = merges[i];
    }
    if (best > 0) merges[best - 1] = find(symbol[best - 1], symbol[best]);
    if (best + 1 < count) merges[best] = find(symbol[best], symbol[best + 1]);
  }
  symbols.resize(begin + count);
}

// A linked list of symbols and a heap of the pairs that can be merged. A pair that is not there any more when
// its turn comes is passed over: symbols only grow, so a pair of the same rank at the same place is the same.
void MergeTable::apply_to_many(std::vector<uint32_t>& symbols, size_t begin) const {
  uint32_t* const symbol = symbols.data() + begin;
  const auto count = static_cast<uint32_t>(symbols.size() - begin);
  std::vector<uint32_t> next(count), previous(count);
  std::vector<uint64_t> heap;  // rank above, place below; the lowest in front
  const auto rank_at = [&](uint32_t place) -> uint64_t {
    return next[place] == kNowhere ? kNowhere : find(symbol[place], symbol[next[place]]) >> 32;
  };
  for (uint32_t i = 0; i < count; ++i) {
    previous[i] = i == 0 ? kNowhere : i - 1;
    next[i] = i + 1 == count ? kNowhere : i + 1;
    if (const uint64_t rank = rank_at(i); rank != kNowhere) heap.push_back(rank << 32 | i);
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());

  std::vector<bool> gone(count);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t rank = heap.back() >> 32;
    const auto place = static_cast<uint32_t>(heap.back());
    heap.pop_back();
    if (gone[place] || rank_at(place) != rank) continue;
    const uint32_t right = next[place];
    symbol[place] = static_cast<uint32_t>(find(symbol[place], symbol[right]));
    gone[right] = true;
    next[place] = next[right];
    if (next[place] != kNowhere) previous[next[place]] = place;
    for (const uint32_t changed : {previous[place], place}) {
      if (changed == kNowhere) continue;
      if (const uint64_t changed_rank = rank_at(changed); changed_rank != kNowhere) {
        heap.push_back(changed_rank << 32 | changed);
        std::push_heap(heap.begin(), heap.end(), std::greater<>());
      }
    }
  }
  size_t kept = 0;
  for (uint32_t i = 0; i < count; ++i)
    if (!gone[i]) symbol[kept++] = symbol[i];
  symbols.resize(begin + kept);
}

}  // namespace decovec
