#include "decovec/io/lines.hpp"

#include <cerrno>
#include <fstream>
#include <iostream>
#include <system_error>

#include "io/error.hpp"

namespace decovec {

void for_each_line(std::istream& in, const std::string& name,
                   const std::function<void(std::string_view line, int64_t number)>& use) {
  std::string buffer;
  for (int64_t number = 1; std::getline(in, buffer); ++number) {
    std::string_view line = buffer;
    if (number == 1 && line.starts_with("\xef\xbb\xbf"))
      line.remove_prefix(3);  // a byte order mark is no text
    if (!in.eof() && line.ends_with('\r')) line.remove_suffix(1);
    if (!is_utf8(line)) fail("{}:{}: the line is not UTF-8; convert the file to UTF-8", name, number);
    use(line, number);
  }
  if (in.bad()) fail("{}: cannot read", name);
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
