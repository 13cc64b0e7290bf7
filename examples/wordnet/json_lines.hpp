// Files of one JSON object a line.
#pragma once
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace wordnet {

/// A file under construction; `close` tells whether all of it was written.
class JsonLines {
 public:
  explicit JsonLines(const std::filesystem::path& file) : file_(file), out_(file, std::ios::binary) {}
  void add(const nlohmann::ordered_json& line) { out_ << line.dump() << '\n'; }
  void close() {
    out_.close();
    if (!out_)
      throw std::runtime_error(file_.string() +
                               ": cannot be written; is the disk full or the folder read-only?");
  }

 private:
  std::filesystem::path file_;
  std::ofstream out_;
};

}  // namespace wordnet
