#include "text/unicode.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <vector>

#include "text/code_point_table.hpp"
#include "text/unicode_tables.hpp"

namespace decovec {
namespace {

// Hangul syllables are L V or L V T, counted through (The Unicode Standard, 3.12).
constexpr char32_t kSyllables = 0xac00, kL = 0x1100, kV = 0x1161, kT = 0x11a7;
constexpr char32_t kLCount = 19, kVCount = 21, kTCount = 28, kSyllableCount = kLCount * kVCount * kTCount;
bool is_syllable(char32_t c) { return c >= kSyllables && c < kSyllables + kSyllableCount; }

constexpr uint8_t bit(NormalForm form) { return static_cast<uint8_t>(1 << static_cast<int>(form)); }
constexpr uint8_t kComposed = bit(NormalForm::nfc) | bit(NormalForm::nfkc);
bool composes(NormalForm form) { return form == NormalForm::nfc || form == NormalForm::nfkc; }
bool is_compatible(NormalForm form) { return form == NormalForm::nfkc || form == NormalForm::nfkd; }

struct Properties {
  uint8_t combining_class = 0;
  /// By form: the character is the form of itself and never joins or passes what stands before it.
  uint8_t inert = 0xf;
  // Places in the pool of decompositions; 0 where there is none.
  uint32_t canonical = 0, compatible = 0;
};

class NormalizationData {
 public:
  static const NormalizationData& get() {
    static const NormalizationData data;
    return data;
  }

  const Properties& of(char32_t c) const { return properties_[index_[c]]; }

  void decompose(char32_t c, NormalForm form, std::u32string& out) const {
    if (is_syllable(c)) {
      const char32_t i = c - kSyllables, t = i % kTCount;
      out += {kL + i / (kVCount * kTCount), kV + i % (kVCount * kTCount) / kTCount};
      if (t != 0) out += kT + t;
      return;
    }
    const Properties& properties = of(c);
    const uint32_t place =
        is_compatible(form) && properties.compatible != 0 ? properties.compatible : properties.canonical;
    if (place == 0) {
      out += c;
    } else {
      out.append(pool_, place + 1, pool_[place]);
    }
  }

  /// What two characters compose to, or 0.
  char32_t compose(char32_t first, char32_t second) const {
    if (first >= kL && first < kL + kLCount && second >= kV && second < kV + kVCount)
      return kSyllables + ((first - kL) * kVCount + (second - kV)) * kTCount;
    if (is_syllable(first) && (first - kSyllables) % kTCount == 0 && second > kT && second < kT + kTCount)
      return first + (second - kT);
    const auto found =
        std::lower_bound(compositions_.begin(), compositions_.end(), std::array{first, second, char32_t{0}});
    return found != compositions_.end() && (*found)[0] == first && (*found)[1] == second ? (*found)[2] : 0;
  }

 private:
  NormalizationData() {
    std::map<char32_t, Properties> properties;  // of the characters that have other than the default ones
    read_tables(properties);
    mark_composing(properties);

    std::map<char32_t, uint16_t> places = {{0, 0}, {kSyllables, 1}, {kSyllables + kSyllableCount, 0}};
    properties_ = {{}, {.inert = kComposed}};
    for (const auto& [c, p] : properties) {
      places[c] = static_cast<uint16_t>(properties_.size());
      places.try_emplace(c + 1, 0);
      properties_.push_back(p);
    }
    const std::vector<std::pair<char32_t, uint16_t>> runs(places.begin(), places.end());
    index_ = CodePointTable<uint16_t>(runs);
  }

  void read_tables(std::map<char32_t, Properties>& properties) {
    namespace tables = unicode_tables;
    const auto& classes = tables::combining_classes;
    for (size_t at = 0; at < classes.size(); at += 2)
      for (char32_t c = classes[at]; classes[at + 1] != 0 && c < classes[at + 2]; ++c)
        properties[c] = {.combining_class = static_cast<uint8_t>(classes[at + 1]), .inert = 0};
    const auto read = [&](std::span<const uint32_t> rows, auto&& use) {
      for (size_t at = 0; at < rows.size(); at += 2 + rows[at + 1]) {
        use(properties[rows[at]], static_cast<uint32_t>(pool_.size()));
        for (size_t i = 0; i <= rows[at + 1]; ++i) pool_ += static_cast<char32_t>(rows[at + 1 + i]);
      }
    };
    read(tables::canonical_decompositions, [](Properties& p, uint32_t place) {
      p.canonical = place;
      p.inert = 0;
    });
    read(tables::compatibility_decompositions, [](Properties& p, uint32_t place) {
      p.compatible = place;
      p.inert &= bit(NormalForm::nfc) | bit(NormalForm::nfd);
    });
    for (size_t at = 0; at < tables::compositions.size(); at += 3)
      compositions_.push_back(
          {tables::compositions[at], tables::compositions[at + 1], tables::compositions[at + 2]});
  }

  // What composes to itself again is inert, and what composes with something before it is not.
  void mark_composing(std::map<char32_t, Properties>& properties) const {
    const auto joins = [&](char32_t c) { properties[c].inert &= static_cast<uint8_t>(~kComposed); };
    for (const auto& [first, second, composed] : compositions_) joins(second);
    for (char32_t v = 0; v < kVCount; ++v) joins(kV + v);
    for (char32_t t = 1; t < kTCount; ++t) joins(kT + t);
    for (const auto& [first, second, composed] : compositions_) {
      Properties& p = properties[composed];
      const auto begin = properties.find(pool_[p.canonical + 1]);
      if (begin == properties.end() || (begin->second.inert & kComposed) == kComposed)
        p.inert |= p.compatible == 0 ? kComposed : bit(NormalForm::nfc);
    }
  }

  std::u32string pool_ = {0};  // n, then n code points
  std::vector<std::array<char32_t, 3>> compositions_;
  CodePointTable<uint16_t> index_;  // code point to place in properties_
  std::vector<Properties> properties_;
};

// Sorts marks into the order of their classes; a character of class 0 stays and parts those around it.
void reorder(std::u32string& text, const NormalizationData& data) {
  const auto combining_class = [&](char32_t c) { return data.of(c).combining_class; };
  for (auto begin = text.begin(); begin != text.end();) {
    const auto end = std::find_if(begin, text.end(), [&](char32_t c) { return combining_class(c) == 0; });
    const auto less = [&](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); };
    if (!std::is_sorted(begin, end, less)) std::stable_sort(begin, end, less);
    begin = end == text.end() ? end : end + 1;
  }
}

void compose(std::u32string& text, const NormalizationData& data) {
  constexpr size_t kNone = std::u32string::npos;
  size_t starter = kNone, size = 0;
  uint8_t last = 0;  // the class of what stands between the starter and the next character; 0 for nothing
  for (const char32_t c : text) {
    const uint8_t now = data.of(c).combining_class;
    if (starter != kNone && (last == 0 || last < now)) {
      if (const char32_t composed = data.compose(text[starter], c); composed != 0) {
        text[starter] = composed;
        continue;
      }
    }
    if (now == 0) starter = size;
    last = now;
    text[size++] = c;
  }
  text.resize(size);
}

// The first character that is not lower case, or the end.
size_t lower_prefix(std::string_view text, const CodePointTable<uint16_t>& index) {
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (index[next_code_point(text, at)] != 0) return begin;
  }
  return text.size();
}

}  // namespace

void append_utf8(std::string& text, char32_t c) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xc0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xe0 | c >> 12);
    } else {
      put(0xf0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3f));
    }
    put(0x80 | (c >> 6 & 0x3f));
  }
  put(0x80 | (c & 0x3f));
}

size_t ascii_prefix(std::string_view text) {
  size_t at = 0;
  for (uint64_t eight; at + sizeof(eight) <= text.size(); at += sizeof(eight)) {
    std::memcpy(&eight, text.data() + at, sizeof(eight));
    if (eight & 0x8080808080808080u) break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at;
}

void normalize(std::string& text, NormalForm form) {
  const size_t ascii = ascii_prefix(text);
  if (ascii == text.size()) return;
  const NormalizationData& data = NormalizationData::get();
  const auto inert = [&](char32_t c) { return c < 0x80 || (data.of(c).inert & bit(form)) != 0; };

  // Characters that are not inert are normalized together with the inert one before them, which they may
  // join.
  std::string result;
  std::u32string stretch;
  size_t copied = 0, before = ascii == 0 ? 0 : ascii - 1;  // before: the begin of the last inert character
  for (size_t at = ascii; at < text.size();) {
    const size_t begin = at;
    if (inert(next_code_point(text, at))) {
      before = begin;
      continue;
    }
    stretch.clear();
    result.append(text, copied, before - copied);
    size_t end = before;
    for (size_t next = before; next < text.size(); end = next) {
      const char32_t c = next_code_point(text, next);
      if (end > begin && inert(c)) break;
      data.decompose(c, form, stretch);
    }
    reorder(stretch, data);
    if (composes(form)) compose(stretch, data);
    for (const char32_t c : stretch) append_utf8(result, c);
    copied = before = at = end;
  }
  if (copied == 0) return;
  result.append(text, copied);
  text = std::move(result);
}

void lowercase(std::string& text) {
  struct Rows {
    std::vector<std::u32string> rows = {U""};
    CodePointTable<uint16_t> index;  // code point to row; 0 where it is lower case
    Rows() {
      std::map<char32_t, uint16_t> places = {{0, 0}};
      const auto& table = unicode_tables::lower_case;
      for (size_t at = 0; at < table.size(); at += 2 + table[at + 1]) {
        places[table[at]] = static_cast<uint16_t>(rows.size());
        places.try_emplace(table[at] + 1, 0);
        const auto row = table.subspan(at + 2, table[at + 1]);
        rows.emplace_back(row.begin(), row.end());
      }
      index =
          CodePointTable<uint16_t>(std::vector<std::pair<char32_t, uint16_t>>(places.begin(), places.end()));
    }
  };
  static const Rows lower;
  size_t at = lower_prefix(text, lower.index);
  if (at == text.size()) return;
  std::string result(text, 0, at);
  while (at < text.size()) {
    const size_t begin = at;
    const uint16_t row = lower.index[next_code_point(text, at)];
    if (row == 0) {
      result.append(text, begin, at - begin);
    } else {
      for (const char32_t c : lower.rows[row]) append_utf8(result, c);
    }
  }
  text = std::move(result);
}

bool is_in(CharacterSet set, char32_t code_point) {
  static const CodePointTable<uint8_t> members = [] {
    namespace tables = unicode_tables;
    std::vector<uint8_t> cells;  // a bit for each set
    for (size_t at = 0; at < tables::cells.size(); at += 1 + tables::cells[at]) {
      uint8_t bits = 0;
      for (const uint8_t member : tables::cells.subspan(at + 1, tables::cells[at]))
        if (member >= tables::first_library_set)
          bits |= static_cast<uint8_t>(1 << (member - tables::first_library_set));
      cells.push_back(bits);
    }
    std::vector<std::pair<char32_t, uint8_t>> runs;
    for (size_t at = 0; at < tables::runs.size(); at += 2)
      runs.push_back({tables::runs[at], cells[tables::runs[at + 1]]});
    return CodePointTable<uint8_t>(runs);
  }();
  return members[code_point] >> static_cast<int>(set) & 1;
}

}  // namespace decovec
