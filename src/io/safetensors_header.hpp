// The header of a safetensors file: which tensor lies where.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "io/tensor_entry.hpp"

namespace decovec {

struct SafetensorsHeader {
  TensorEntries entries;
  std::map<std::string, std::string> metadata;
};

/// The largest header the format allows, in bytes.
constexpr int64_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// Checks the header of a whole file against the format's rules. Throws std::runtime_error "where: ...".
SafetensorsHeader parse_safetensors_header(std::string_view file, const std::string& where);

}  // namespace decovec
