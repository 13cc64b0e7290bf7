// The header of a safetensors file: which tensor lies where.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <c10/core/ScalarType.h>

namespace decovec {

/// An element type as the format names it. Types without `scalar_type` are known to the format, and can be
/// measured, but not held in a tensor here.
struct SafetensorsDtype {
  std::string_view name;
  int64_t bits;
  std::optional<c10::ScalarType> scalar_type;
};

/// The type of a name, or of a tensor's elements; null where there is none. The pointers lie in one array, in
/// the order in which a file lays out its data.
const SafetensorsDtype* find_safetensors_dtype(std::string_view name);
const SafetensorsDtype* find_safetensors_dtype(c10::ScalarType scalar_type);
/// The names of the types that a tensor can hold, for error messages.
std::string supported_safetensors_dtypes();

struct SafetensorsEntry {
  const SafetensorsDtype* dtype;
  std::vector<int64_t> shape;
  int64_t begin, end;  // bytes from the start of the file
};

struct SafetensorsHeader {
  std::map<std::string, SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

/// The largest header the format allows, in bytes.
constexpr int64_t kMaxSafetensorsHeaderBytes = 100'000'000;

/// Checks the header of a whole file against the format's rules. Throws std::runtime_error "where: ...".
SafetensorsHeader parse_safetensors_header(std::string_view file, const std::string& where);

}  // namespace decovec
