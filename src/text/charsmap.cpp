#include "text/charsmap.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "io/error.hpp"

namespace decovec {
namespace {

// The layout (little endian): bytes of the array u32 | the array, u32 units | replacements, each ended by
// NUL. A unit of the array (Darts-clone): the label of the edge that leads to it, whether a rule ends here,
// and the offset to its children; bit 31 marks a unit that holds a rule's value instead.
constexpr uint32_t kValueBit = 1u << 31;
bool ends_rule(uint32_t unit) { return (unit >> 8) & 1; }
uint32_t label(uint32_t unit) { return unit & (kValueBit | 0xff); }
uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

// What sentencepiece keeps of one walk, in an array on its stack.
constexpr int kMaxRules = 32;
// Longer than any chain of code points that Unicode maps to something else; bounds a walk in circles.
constexpr int kMaxLength = 256;

uint32_t little_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

class Walk {
 public:
  Walk(std::string_view array, size_t replacements, const std::string& where)
      : replacements_(replacements), where_(where) {
    for (size_t at = 0; at < array.size(); at += 4) units_.push_back(little_endian(array, at));
    most_rules_.assign(units_.size(), kUnknown);
  }

  // The most rules on one walk from the children at `base` on.
  int from(size_t base, int length) {
    if (length > kMaxLength) broken("a rule is too long");
    if ((base | 0xff) >= units_.size()) broken("a rule leads outside the array");
    if (most_rules_[base] != kUnknown) return most_rules_[base];
    int most = 0;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t unit = units_[base ^ byte];
      if (label(unit) != byte) continue;
      const size_t next = (base ^ byte) ^ offset(unit);
      int rules = from(next, length + 1);
      if (ends_rule(unit)) {
        ++rules;
        if ((units_[next] & ~kValueBit) >= replacements_) broken("a replacement lies outside the table");
      }
      most = std::max(most, rules);
    }
    if (most > kMaxRules) broken("too many rules begin the same");
    return most_rules_[base] = most;
  }
  void from_root() {
    if (units_.empty()) broken("there is no rule");
    from(offset(units_[0]), 0);
  }

  [[noreturn]] void broken(std::string_view what) const {
    fail("{}: the normalization rules are corrupt: {}", where_, what);
  }

 private:
  static constexpr int kUnknown = -1;
  std::vector<uint32_t> units_;
  std::vector<int> most_rules_;  // by base
  size_t replacements_;
  const std::string& where_;
};

}  // namespace

void check_charsmap(std::string_view charsmap, const std::string& where) {
  if (charsmap.empty()) return;
  const size_t array = charsmap.size() < 4 ? 0 : little_endian(charsmap, 0);
  if (charsmap.size() < 4 || array % 4 != 0 || array >= charsmap.size() - 4 || charsmap.back() != '\0')
    fail("{}: the normalization rules are corrupt: their sizes do not fit", where);
  Walk(charsmap.substr(4, array), charsmap.size() - 4 - array, where).from_root();
}

}  // namespace decovec
