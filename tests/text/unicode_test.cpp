#include "text/unicode.hpp"

#include <functional>
#include <gtest/gtest.h>

#include "io/json.hpp"
#include "io/temporary_folder.hpp"
#include "text/code_point_set.hpp"
#include "text/normalizer.hpp"
#include "text/regex.hpp"

namespace decovec {
namespace {

// The blocks of tests/data/unicode_reference.py.
constexpr size_t kBlocks = 32;
std::u32string block(size_t i) {
  const char32_t first = i < 16 ? static_cast<char32_t>(i * 0x1000) : static_cast<char32_t>((i - 15) << 16);
  const char32_t last = i < 16 ? first + 0xfff : first + 0xffff;
  std::u32string characters;
  for (char32_t c = first; c <= last; ++c)
    if (c < 0xd800 || c >= 0xe000) characters += c;
  return characters;
}

// CRC-32 as zlib has it.
uint32_t checksum(std::string_view bytes) {
  uint32_t value = ~0u;
  for (const char byte : bytes) {
    value ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0u);
  }
  return ~value;
}

std::string utf8(char32_t c) {
  std::string text;
  append_utf8(text, c);
  return text;
}

void expect_rows(const Json& expected, const std::string& name,
                 const std::function<std::string(const std::u32string&)>& bytes_of) {
  ASSERT_EQ(expected.size(), kBlocks) << name;
  for (size_t i = 0; i < kBlocks; ++i)
    EXPECT_EQ(checksum(bytes_of(block(i))), expected[i].get<uint32_t>()) << name << ", block " << i;
}

class UnicodeReference : public testing::Test {
 protected:
  const Json reference = read_json(test_data() / "unicode.json");
};

TEST_F(UnicodeReference, PatternsMatchTheLibrarysCharacters) {
  EXPECT_GT(reference["patterns"].size(), 120u);
  for (const auto& [pattern, rows] : reference["patterns"].items()) {
    const Regex regex(pattern, "test");
    expect_rows(rows, pattern, [&](const std::u32string& characters) {
      std::string text, members;
      for (const char32_t c : characters) append_utf8(text, c);
      std::vector<Regex::Match> matches;
      regex.find_all(text, matches);
      auto match = matches.begin();
      for (size_t at = 0; at < text.size(); next_code_point(text, at)) {
        const bool member = match != matches.end() && match->begin == at;
        members += static_cast<char>(member);
        if (member) ++match;
      }
      EXPECT_TRUE(match == matches.end());
      return members;
    });
  }
}

TEST_F(UnicodeReference, SetsHoldTheLibrarysCharacters) {
  const std::vector<std::pair<std::string, CharacterSet>> sets = {{"white_space", CharacterSet::white_space},
                                                                  {"numeric", CharacterSet::numeric},
                                                                  {"punctuation", CharacterSet::punctuation},
                                                                  {"word", CharacterSet::word}};
  for (const auto& [name, set] : sets)
    expect_rows(reference["sets"][name], name, [set = set](const std::u32string& characters) {
      std::string members;
      for (const char32_t c : characters) members += static_cast<char>(is_in(set, c));
      return members;
    });
}

TEST_F(UnicodeReference, NormalizersMakeTheLibrarysTextOfEveryCharacter) {
  EXPECT_EQ(reference["normalizers"].size(), 6u);
  for (const auto& [type, rows] : reference["normalizers"].items()) {
    const Normalizer normalizer = Normalizer::parse({Json{{"type", type}}, "test"});
    expect_rows(rows, type, [&](const std::u32string& characters) {
      std::string lines;
      for (const char32_t c : characters)
        for (const Json& context : reference["contexts"]) {
          auto text = context.get<std::string>();
          lines += normalizer.apply(text.replace(text.find("{}"), 2, utf8(c)) + "\n");
        }
      return lines;
    });
  }
}

TEST(Unicode, NormalizingAgainChangesNothing) {
  for (const NormalForm form : {NormalForm::nfc, NormalForm::nfd, NormalForm::nfkc, NormalForm::nfkd})
    for (char32_t c = 1; c < kCodePoints; c += 7) {
      if (c >= 0xd800 && c < 0xe000) continue;
      std::string once = utf8(c);
      once.append("\xcc\x81\xcc\xa3");
      normalize(once, form);
      std::string twice = once;
      normalize(twice, form);
      ASSERT_EQ(twice, once) << static_cast<uint32_t>(c);
    }
}

TEST(Unicode, NormalizesLongRunsOfMarksInTheirOrder) {
  // Half of them stand above (230), half below (220); sorting must keep the order of equals.
  std::string text = "a", expected = "a";
  constexpr size_t kMarks = 250'000;
  for (size_t i = 0; i < kMarks; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
  for (size_t i = 0; i < kMarks / 2; ++i) expected += "\u0323";
  for (size_t i = 0; i < kMarks / 2; ++i) expected += "\u0301";
  normalize(text, NormalForm::nfd);
  EXPECT_EQ(text, expected);
  normalize(text, NormalForm::nfc);
  EXPECT_EQ(text.substr(0, 3), "\u1ea1");
  EXPECT_EQ(text.size(), expected.size());
}

TEST(Unicode, FindsTheEndOfAscii) {
  const std::string ascii(100, 'a');
  for (size_t at = 0; at < ascii.size(); ++at) {
    EXPECT_EQ(ascii_prefix(ascii.substr(0, at)), at);
    EXPECT_EQ(ascii_prefix(ascii.substr(0, at) + "\xc3\xa9" + ascii), at);
  }
}

TEST(CodePointSet, CombinesRanges) {
  const CodePointSet a('a', 'f'), b('d', 'k');
  using Ranges = std::vector<CodePointSet::Range>;
  EXPECT_EQ((a | b).ranges(), (Ranges{{'a', 'k'}}));
  EXPECT_EQ((a & b).ranges(), (Ranges{{'d', 'f'}}));
  EXPECT_EQ((a | CodePointSet(U'g')).ranges(), (Ranges{{'a', 'g'}}));
  EXPECT_EQ((~a).ranges(), (Ranges{{0, 'a' - 1}, {'g', 0x10ffff}}));
  EXPECT_EQ(~CodePointSet::all(), CodePointSet());
  EXPECT_EQ(~~b, b);
  EXPECT_TRUE(a.contains('f'));
  EXPECT_FALSE(a.contains('g'));
  EXPECT_FALSE(CodePointSet::named("letters").has_value());
  EXPECT_EQ(CodePointSet::named("Upper-case_Letter"), CodePointSet::named("Lu"));
}

}  // namespace
}  // namespace decovec
