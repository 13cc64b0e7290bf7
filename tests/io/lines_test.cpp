#include "decovec/io/lines.hpp"

#include <gtest/gtest.h>
#include <sstream>

#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

using Lines = std::vector<std::string>;

Lines lines_of(std::string_view text) {
  std::istringstream in{std::string(text)};
  Lines lines;
  for_each_line(in, "text", [&](std::string_view line, int64_t number) {
    lines.emplace_back(line);
    EXPECT_EQ(number, static_cast<int64_t>(lines.size()));
  });
  return lines;
}

TEST(Lines, EndAtEitherNewline) {
  EXPECT_EQ(lines_of("a\nb"), (Lines{"a", "b"}));
  EXPECT_EQ(lines_of("a\r\nb\r\n"), (Lines{"a", "b"}));
  EXPECT_EQ(lines_of("a\rb\n"), Lines{"a\rb"});
  EXPECT_EQ(lines_of("a\r\r\n"), Lines{"a\r"});
  EXPECT_EQ(lines_of("a\r"), Lines{"a\r"});  // no newline follows
}

TEST(Lines, LastNewlineStartsNone) {
  EXPECT_EQ(lines_of(""), Lines{});
  EXPECT_EQ(lines_of("a\n"), Lines{"a"});
  EXPECT_EQ(lines_of("\n"), Lines{""});
  EXPECT_EQ(lines_of("\r\n"), Lines{""});
  EXPECT_EQ(lines_of("a\n\n\nb\n\n"), (Lines{"a", "", "", "b", ""}));
}

TEST(Lines, KeepEveryOtherByteButAByteOrderMark) {
  EXPECT_EQ(lines_of(std::string_view("a\0b\n\0", 5)), (Lines{std::string("a\0b", 3), std::string("\0", 1)}));
  EXPECT_EQ(lines_of("\xef\xbb\xbf"
                     "a\n \t\f\v \u2028\u0085\n"),
            (Lines{"a", " \t\f\v \u2028\u0085"}));
}

TEST(Lines, ThatAreNotUtf8AreRefusedWithTheirNumber) {
  std::istringstream in("fine\n\xc3\xa9\nb\xe9\nfine\n");
  int64_t seen = 0;
  const std::string message = message_of(
      [&] { for_each_line(in, "corpus.txt", [&](std::string_view, int64_t number) { seen = number; }); });
  EXPECT_TRUE(has(message, "corpus.txt:3: the line is not UTF-8"));
  EXPECT_EQ(seen, 2);
}

TEST(Lines, OfAFile) {
  const TemporaryFolder folder;
  put(folder / "file", "one\r\n\nthree");
  EXPECT_EQ(read_lines(folder / "file"), (Lines{"one", "", "three"}));
  put(folder / "latin1", "one\n\xe9\n");
  EXPECT_TRUE(has(message_of([&] { read_lines(folder / "latin1"); }), (folder / "latin1:2: ").string()));
}

TEST(Lines, OfAFileThatCannotBeRead) {
  const TemporaryFolder folder;
  EXPECT_TRUE(has(message_of([&] { read_lines(folder / "none"); }), "none: cannot open: No such file"));
  EXPECT_TRUE(has(message_of([&] { read_lines(folder.path()); }), "expected a file, got a folder"));
}

TEST(Lines, PassOnTheUsersException) {
  std::istringstream in("a\nb\n");
  EXPECT_THROW(for_each_line(in, "text", [](std::string_view, int64_t) { throw std::logic_error("mine"); }),
               std::logic_error);
}

// UTF-8 of a code point by its definition, without the rules on surrogates and range: `length` bytes, which
// may be more than it needs.
std::string encoded(uint32_t code, int length) {
  if (length == 1) return {static_cast<char>(code)};
  std::string bytes(static_cast<size_t>(length), '\0');
  for (int i = length - 1; i > 0; --i, code >>= 6)
    bytes[static_cast<size_t>(i)] = static_cast<char>(0x80 | (code & 0x3f));
  bytes[0] = static_cast<char>(((0xf00 >> length) & 0xff) | code);
  return bytes;
}

TEST(IsUtf8, HoldsForEveryCodePointInItsShortestFormAlone) {
  const auto shortest = [](uint32_t code) {
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  };
  constexpr uint32_t kBeyond[] = {1u << 7, 1u << 11, 1u << 16, 1u << 21};
  for (int length = 1; length <= 4; ++length)
    for (uint32_t code = 0; code < kBeyond[length - 1]; ++code) {
      const bool surrogate = code >= 0xd800 && code <= 0xdfff;
      const bool expected = length == shortest(code) && !surrogate && code <= 0x10ffff;
      ASSERT_EQ(is_utf8(encoded(code, length)), expected) << code << " in " << length;
    }
}

TEST(IsUtf8, IsFalseForCutAndStrayBytes) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("a\u00e9\u20ac\U0001f600z"));
  for (const char* bytes : {"\x80", "a\xbf", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xe2\x82z", "\xf0\x9f\x98z",
                            "\xff", "\xfe", "\xf8\x88\x80\x80\x80", "\xc3\xa9\xa9"})
    EXPECT_FALSE(is_utf8(bytes)) << bytes;
}

}  // namespace
}  // namespace decovec
