#include "text/regex.hpp"

#include <gtest/gtest.h>
#include <thread>

#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

using Spans = std::vector<std::pair<size_t, size_t>>;

Spans find(const Regex& regex, std::string_view text) {
  std::vector<Regex::Match> matches;
  regex.find_all(text, matches);
  Spans spans;
  for (const auto& match : matches) spans.emplace_back(match.begin, match.end);
  return spans;
}
Spans find(std::string_view pattern, std::string_view text) { return find(Regex(pattern, "test"), text); }

constexpr std::string_view kQwen =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kCl100k =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)";
constexpr std::string_view kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

TEST(Regex, GivesMatchesInBytes) {
  EXPECT_EQ(find("b", "abcb"), (Spans{{1, 2}, {3, 4}}));
  EXPECT_EQ(find("\\p{L}+", "\u00e91\u4e2d\u6587 \U0001f600z"), (Spans{{0, 2}, {3, 9}, {14, 15}}));
  EXPECT_EQ(find("[^a]", "a\U0001f600"), (Spans{{1, 5}}));
  EXPECT_EQ(find("", "a\u00e9"), (Spans{{0, 0}, {1, 1}, {3, 3}}));
  EXPECT_EQ(find("ab{0}c", "acabcac"), (Spans{{0, 2}, {5, 7}}));
  EXPECT_EQ(find("a(?:b(c)[d-f]){0}|d", "abad"), (Spans{{0, 1}, {2, 3}, {3, 4}}));
  EXPECT_EQ(find(Regex::literal("\u4e2d", "test"), "a\u4e2d\u4e2d"), (Spans{{1, 4}, {4, 7}}));
  EXPECT_EQ(find(Regex::literal("aa", "test"), "aaaaa"), (Spans{{0, 2}, {2, 4}}));
  EXPECT_EQ(find(Regex::literal("a.", "test"), "aba."), (Spans{{2, 4}}));
}

TEST(Regex, KnowsWhetherAMatchCanBeEmpty) {
  EXPECT_TRUE(Regex("a*", "test").matches_empty());
  EXPECT_TRUE(Regex::literal("", "test").matches_empty());
  EXPECT_FALSE(Regex(kQwen, "test").matches_empty());
}

TEST(Regex, TimeIsLinearInLongRuns) {
  constexpr size_t kLength = 1'000'000;
  // With quadratic work each of these would take minutes, far over the test's own limit of time.
  for (const std::string_view pattern : {kQwen, kCl100k, kO200k}) {
    const Regex regex(pattern, "test");
    for (const std::string unit : {" ", "a", "A", "1", "!", "\n", "\t", " \n", "\u4e2d", "\u0301", "\u3000",
                                   "a'", "'s", "\U0001f600"}) {
      std::string text;
      while (text.size() < kLength) text += unit;
      const Spans spans = find(regex, text);
      ASSERT_FALSE(spans.empty());
      EXPECT_EQ(spans.back().second, text.size());
      EXPECT_EQ(find(regex, text + "x").back().second, text.size() + 1);
    }
  }
}

TEST(Regex, GivesUpInsteadOfRunningForever) {
  const Regex regex("(?:a|a|ab)+c", "tokenizer.json");
  const std::string message = message_of([&] { find(regex, std::string(40, 'a') + "dc"); });
  EXPECT_TRUE(has(message, "tokenizer.json"));
  EXPECT_TRUE(has(message, "too much work"));
}

TEST(Regex, ThreadsShareAPattern) {
  const Regex regex(kQwen, "test");
  const std::string text = "It's 12 o'clock \u4e2d\u6587  \n ok";
  const Spans expected = find(regex, text);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int k = 0; k < 200; ++k) ASSERT_EQ(find(regex, text), expected);
    });
  for (std::thread& thread : threads) thread.join();
}

TEST(Regex, RefusesWhatCannotBeCarriedOver) {
  for (const std::string pattern : {"(a)\\1",      "\\k<n>",
                                    "\\g<n>",      "\\K",
                                    "\\G",         "\\R",
                                    "\\X",         "\\y",
                                    "\\N",         "\\O",
                                    "\\0",         "\\cA",
                                    "\\C-a",       "\\M-a",
                                    "\\xff",       "\\x{110000}",
                                    "\\x{d800}",   "\\x{61 62}",
                                    "\\u00",       "(?~a)",
                                    "(?(1)a|b)",   "(?{x})",
                                    "(*FAIL)",     "(?x:a b)",
                                    "(?W:a)",      "a**",
                                    "a{1,2}{3}",   "(?:a?)*",
                                    "(?:a*){2}",   "(?=a)*",
                                    "\\b+",        "*a",
                                    "+",           "?",
                                    "{2}a",        "a{70000}",
                                    "a{3,2}",      "(",
                                    ")",           "(?:a",
                                    "a)",          "[a",
                                    "[]",          "[]a]",
                                    "[a-\\d]",     "[\\d-a]",
                                    "[a-c-e]",     "[b-a]",
                                    "[a&&]",       "[[:nothing:]]",
                                    "[[:alpha:",   "\\p{Nothing}",
                                    "\\p{[word]}", "\\pL",
                                    "\\p{L",       "\\",
                                    "(?i:\u00e9)", "(?i:[^a\u00e9])",
                                    "(?i:\\p{L})", "(?i:ss)",
                                    "(?i:fi)",     "(?i:[s]t)",
                                    "\\q",         "(?<=a+)b",
                                    "(?>a+?)??b",  "(?#",
                                    "(?<n",        "(?i"}) {
    const std::string message = message_of([&] { Regex(pattern, "tokenizer.json"); });
    EXPECT_TRUE(has(message, "tokenizer.json")) << pattern;
    EXPECT_TRUE(has(message, "the pattern")) << pattern;
  }
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "(?:";
  EXPECT_TRUE(has(message_of([&] { Regex(deep, "test"); }), "deeper"));
  EXPECT_TRUE(has(message_of([&] { Regex(std::string(1000, '['), "test"); }), "deeper"));
  EXPECT_TRUE(has(message_of([&] { Regex(std::string(100'000, 'a'), "test"); }), "65,536"));
  std::string kinds;
  for (int i = 0; i < 200; ++i) kinds += "\\x{" + std::to_string(1000 + i) + "}";
  EXPECT_TRUE(has(message_of([&] { Regex(kinds, "test"); }), "128 kinds"));
}

}  // namespace
}  // namespace decovec
