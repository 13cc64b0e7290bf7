// A safetensors file tensor by tensor, so that no other than the one being written must exist.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "decovec/io/safetensors.hpp"
#include "io/file.hpp"

namespace decovec {

class SafetensorsWriter {
 public:
  /// Writes the header. Of the tensors, names, shapes and types count; meta tensors will do. Throws as
  /// write_safetensors does.
  SafetensorsWriter(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors,
                    const std::map<std::string, std::string>& metadata = SafetensorsWriteOptions().metadata);
  /// The values of one of them, in any order, each once.
  void write(const NamedTensor& tensor);
  /// The file appears.
  void commit() { staged_.commit(); }

 private:
  StagedFile staged_;
  std::map<std::string, int64_t> places_;  // in the file
};

}  // namespace decovec
