#include "decovec/io/lines.hpp"

#include <cerrno>
#include <fstream>
#include <iostream>
#include <system_error>

#include "io/error.hpp"

namespace decovec {
namespace {

// A line is held whole; without a limit a file without line ends would fill the memory.
constexpr size_t kMaxLineBytes = size_t{1} << 28;

}  // namespace

void for_each_line(std::istream& in, const std::string& name,
                   const std::function<void(std::string_view line, int64_t number)>& use) {
  std::streambuf& source = *in.rdbuf();
  const auto next_byte = [&] {
    try {
      return source.sbumpc();
    } catch (const std::ios_base::failure&) {
      fail("{}: cannot read", name);
    }
  };
  std::string buffer;
  int64_t number = 1;
  const auto hand_on = [&](bool ended) {
    std::string_view line = buffer;
    // A byte order mark is no text.
    if (number == 1 && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
    if (ended && line.ends_with('\r')) line.remove_suffix(1);
    if (!is_utf8(line)) fail("{}:{}: the line is not UTF-8; convert the file to UTF-8", name, number);
    use(line, number++);
    buffer.clear();
  };
  constexpr auto kEnd = std::char_traits<char>::eof();
  for (auto byte = next_byte(); byte != kEnd; byte = next_byte()) {
    if (byte == '\n') {
      hand_on(true);
      continue;
    }
    if (buffer.size() == kMaxLineBytes)
      fail("{}:{}: expected a line of at most {} bytes; is this a text file?", name, number, kMaxLineBytes);
    buffer += static_cast<char>(byte);
  }
  if (!buffer.empty()) hand_on(false);
}

void for_each_line(const std::filesystem::path& file,
                   const std::function<void(std::string_view line, int64_t number)>& use) {
  if (file == "-") return for_each_line(std::cin, "standard input", use);
  if (std::filesystem::is_directory(file)) fail("{}: expected a file, got a folder", file.string());
  std::ifstream in(file, std::ios::binary);
  if (!in) fail("{}: cannot open: {}", file.string(), std::generic_category().message(errno));
  for_each_line(in, file.string(), use);
}

std::vector<std::string> read_lines(const std::filesystem::path& file) {
  std::vector<std::string> lines;
  for_each_line(file, [&](std::string_view line, int64_t) { lines.emplace_back(line); });
  return lines;
}

// The well-formed sequences of the Unicode standard, table 3-7.
bool is_utf8(std::string_view bytes) {
  const auto* next = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto* const end = next + bytes.size();
  while (next != end) {
    const unsigned char lead = *next++;
    if (lead < 0x80) continue;
    int rest;
    unsigned char low = 0x80, high = 0xbf;  // bounds of the second byte
    if (lead >= 0xc2 && lead <= 0xdf) {
      rest = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      rest = 2;
      if (lead == 0xe0) low = 0xa0;   // overlong
      if (lead == 0xed) high = 0x9f;  // surrogates
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      rest = 3;
      if (lead == 0xf0) low = 0x90;   // overlong
      if (lead == 0xf4) high = 0x8f;  // above U+10FFFF
    } else {
      return false;
    }
    if (end - next < rest) return false;
    for (; rest > 0; --rest, low = 0x80, high = 0xbf) {
      if (*next < low || *next > high) return false;
      ++next;
    }
  }
  return true;
}

}  // namespace decovec
