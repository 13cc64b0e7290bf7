// What the fuzz targets have in common. Each target is one source with LLVMFuzzerTestOneInput; libFuzzer
// calls it in the build of the preset fuzz, and replay.cpp calls it with the kept inputs in every other
// build.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unistd.h>

namespace decovec::fuzz {

/// A folder for the files of one process, removed with it.
class Folder {
 public:
  explicit Folder(const std::string& name = "files")
      : path_(std::filesystem::temp_directory_path() /
              ("decovec-fuzz-" + std::to_string(::getpid()) + "-" + name)) {
    clear();
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void clear() const {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  std::filesystem::path put(const std::string& name, std::string_view bytes) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path_ / name;
  }
  /// Puts the files of a bundle in the place of all that is there: each stands behind a line ">>> NAME".
  /// False for a bundle with names that cannot be files of the folder.
  bool unpack(std::string_view bundle) const try {
    constexpr std::string_view kMark = ">>> ";
    clear();
    while (bundle.starts_with(kMark)) {
      const size_t line = std::min(bundle.find('\n'), bundle.size());
      const std::string name(bundle.substr(kMark.size(), line - kMark.size()));
      bundle.remove_prefix(std::min(line + 1, bundle.size()));
      const size_t end = bundle.starts_with(kMark) ? 0 : std::min(bundle.find("\n>>> "), bundle.size());
      if (!is_inside(name) || std::filesystem::exists(path_ / name)) return false;
      put(name, bundle.substr(0, end));
      if (end > 0) bundle.remove_prefix(std::min(end + 1, bundle.size()));
    }
    return true;
  } catch (const std::filesystem::filesystem_error&) {  // a file under the name of a folder
    return false;
  }

 private:
  // In the folder or one below it.
  static bool is_inside(const std::filesystem::path& name) {
    const std::string& text = name.native();
    return text.size() < 60 && name.is_relative() && name.has_filename() &&
           text.find("..") == std::string::npos && text.find('\0') == std::string::npos &&
           std::distance(name.begin(), name.end()) <= 2;
  }

  std::filesystem::path path_;
};

/// Runs `body` on bytes from outside. It may throw std::runtime_error that names the file (one of `names`
/// occurs in the message); anything else is a fault and ends the process.
template <class Body>
int check(std::initializer_list<std::string_view> names, Body&& body) {
  try {
    body();
  } catch (const std::runtime_error& error) {
    const std::string_view message = error.what();
    if (std::none_of(names.begin(), names.end(),
                     [&](std::string_view name) { return message.find(name) != message.npos; })) {
      std::cerr << "the message does not name " << *names.begin() << ": " << message << "\n";
      std::abort();
    }
  }
  return 0;
}

inline std::string_view text_of(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace decovec::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
