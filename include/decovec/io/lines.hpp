#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

namespace decovec {

/// Calls `use(line, number)` for each line of a stream, numbers from 1. A line ends at "\n" or "\r\n"; empty
/// lines count, a last newline starts none; a byte order mark before the first is left out. The view ends
/// with the call. Throws std::runtime_error "name:number: ..." for a line that is not UTF-8 or is longer
/// than 256 MiB.
void for_each_line(std::istream& in, const std::string& name,
                   const std::function<void(std::string_view line, int64_t number)>& use);

/// The same for a file, "-" being standard input.
void for_each_line(const std::filesystem::path& file,
                   const std::function<void(std::string_view line, int64_t number)>& use);

/// All lines of a file ("-": standard input).
std::vector<std::string> read_lines(const std::filesystem::path& file);

/// True for well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool is_utf8(std::string_view bytes);

}  // namespace decovec
