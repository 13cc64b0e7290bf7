#include "text/vocabulary.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "io/error.hpp"

namespace decovec {
namespace {

uint64_t word_at(const char* from, size_t bytes) {
  uint64_t word = 0;
  std::memcpy(&word, from, bytes);
  return word;
}

uint64_t mixed(uint64_t hash) {
  hash *= 0x9e3779b97f4a7c15;
  return hash ^ hash >> 32;
}

// Eight bytes a step: pieces are short, and this is on every piece's way.
uint32_t hash_of(std::string_view string) {
  uint64_t hash = string.size();
  const char* from = string.data();
  size_t left = string.size();
  for (; left >= 8; left -= 8, from += 8) hash = mixed(hash ^ word_at(from, 8));
  if (left > 0) hash = mixed(hash ^ word_at(from, left));
  return static_cast<uint32_t>(mixed(hash));
}

}  // namespace

Vocabulary::Vocabulary(size_t strings) : slots_(std::bit_ceil(std::max<size_t>(8, 2 * strings))) {}

size_t Vocabulary::place_of(std::string_view string, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t place = hash & mask;; place = (place + 1) & mask) {
    const Slot& slot = slots_[place];
    if (slot.id == kEmpty || (slot.hash == hash && slot.size == string.size() &&
                              std::memcmp(bytes_.data() + slot.begin, string.data(), string.size()) == 0))
      return place;
  }
}

void Vocabulary::grow() {
  std::vector<Slot> old(2 * slots_.size());
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.id == kEmpty) continue;
    size_t place = slot.hash & (slots_.size() - 1);
    while (slots_[place].id != kEmpty) place = (place + 1) & (slots_.size() - 1);
    slots_[place] = slot;
  }
}

bool Vocabulary::add(std::string_view string, uint32_t id) {
  if (2 * (size_ + 1) > slots_.size()) grow();
  const uint32_t hash = hash_of(string);
  Slot& slot = slots_[place_of(string, hash)];
  if (slot.id != kEmpty) return false;
  if (bytes_.size() + string.size() > UINT32_MAX) fail("a vocabulary's strings: expected at most 4 GiB");
  slot = {id, hash, static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(string.size())};
  bytes_ += string;
  longest_ = std::max(longest_, string.size());
  ++size_;
  return true;
}

std::optional<uint32_t> Vocabulary::find(std::string_view string) const {
  if (string.size() > longest_) return std::nullopt;
  const Slot& slot = slots_[place_of(string, hash_of(string))];
  return slot.id == kEmpty ? std::nullopt : std::optional(slot.id);
}

}  // namespace decovec
