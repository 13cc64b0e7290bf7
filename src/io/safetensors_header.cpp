#include "io/safetensors_header.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/ranges.h>

#include "io/error.hpp"
#include "io/json.hpp"

namespace decovec {
namespace {

// A non-negative integer of the header, or nothing.
std::optional<int64_t> natural(const Json& json) {
  if (!json.is_number_unsigned()) return {};
  const auto value = json.get<uint64_t>();
  if (value > static_cast<uint64_t>(INT64_MAX)) return {};
  return static_cast<int64_t>(value);
}

// The bytes that a tensor takes. A dimension of zero counts as one in the overflow check, as it does in a
// tensor's strides.
int64_t data_bytes(const TensorDtype& dtype, const std::vector<int64_t>& shape, const std::string& where) {
  int64_t bits = dtype.bits;
  bool empty = false;
  for (const int64_t size : shape) {
    empty |= size == 0;
    if (__builtin_mul_overflow(bits, std::max<int64_t>(size, 1), &bits))
      fail("{}: the shape [{}] is too large", where, fmt::join(shape, ", "));
  }
  if (empty) return 0;
  if (bits % 8 != 0)
    fail("{}: {} elements of the shape [{}] do not fill whole bytes", where, dtype.name,
         fmt::join(shape, ", "));
  return bits / 8;
}

TensorEntry parse_entry(const Json& json, int64_t data_begin, int64_t data_size, const std::string& where) {
  const JsonObject object(json, where);
  const std::string dtype_name = object.string("dtype");
  TensorEntry entry{.dtype = find_dtype(dtype_name), .shape = {}, .begin = 0, .end = 0};
  if (entry.dtype == nullptr) fail("{}: unknown dtype {}", where, shown(dtype_name));

  const Json shape = json.value("shape", Json());
  if (!shape.is_array()) fail("{}: 'shape': expected an array of sizes, got {}", where, shown(shape));
  if (shape.size() > kMaxDimensions)
    fail("{}: 'shape': expected at most {} dimensions, got {}", where, kMaxDimensions, shape.size());
  for (const Json& size : shape) {
    const std::optional<int64_t> value = natural(size);
    if (!value) fail("{}: 'shape': expected non-negative integers, got {}", where, shown(size));
    entry.shape.push_back(*value);
  }

  const Json offsets = json.value("data_offsets", Json());
  const bool pair = offsets.is_array() && offsets.size() == 2;
  const std::optional<int64_t> begin = pair ? natural(offsets[0]) : std::nullopt;
  const std::optional<int64_t> end = pair ? natural(offsets[1]) : std::nullopt;
  if (!begin || !end || *begin > *end)
    fail("{}: 'data_offsets': expected [begin, end], got {}", where, shown(offsets));
  if (*end > data_size)
    fail("{}: its data ends at byte {}, but the file holds {} bytes of data; is the file truncated?", where,
         *end, data_size);
  const int64_t expected = data_bytes(*entry.dtype, entry.shape, where);
  if (*end - *begin != expected)
    fail("{}: {} of the shape [{}] takes {} bytes, got {} from 'data_offsets'", where, entry.dtype->name,
         fmt::join(entry.shape, ", "), expected, *end - *begin);
  entry.begin = data_begin + *begin;
  entry.end = data_begin + *end;
  return entry;
}

// The tensors' data must follow each other without holes or overlap, up to the file's end.
void check_layout(const SafetensorsHeader& header, int64_t data_begin, int64_t file_size,
                  const std::string& where) {
  std::vector<const std::pair<const std::string, TensorEntry>*> order;
  for (const auto& named : header.entries) order.push_back(&named);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  int64_t at = data_begin;
  for (const auto* named : order) {
    if (named->second.begin != at)
      fail("{}: {} between the tensors' data before {}", where,
           named->second.begin > at ? "a hole" : "an overlap", shown(named->first));
    at = named->second.end;
  }
  if (at != file_size)
    fail("{}: {} bytes after the last tensor's data, expected none", where, file_size - at);
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view file, const std::string& where) {
  if (file.size() < 8) fail("{}: expected a safetensors file, got only {} bytes", where, file.size());
  uint64_t header_size = 0;
  std::memcpy(&header_size, file.data(), 8);
  if (header_size > static_cast<uint64_t>(kMaxSafetensorsHeaderBytes))
    fail("{}: expected a safetensors file with a header of at most {} bytes, got {}", where,
         kMaxSafetensorsHeaderBytes, header_size);
  if (header_size > file.size() - 8)
    fail("{}: the header ends at byte {}, but the file holds {}; is the file truncated?", where,
         header_size + 8, file.size());
  const std::string_view text = file.substr(8, header_size);
  if (!text.starts_with('{')) fail("{}: expected a safetensors header that begins with '{{'", where);

  SafetensorsHeader header;
  const auto data_begin = static_cast<int64_t>(8 + header_size);
  const auto file_size = static_cast<int64_t>(file.size());
  const Json json = parse_json(text, where + ": header");
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      if (!value.is_object()) fail("{}: '__metadata__': expected an object, got {}", where, shown(value));
      for (const auto& [key, text_value] : value.items()) {
        if (!text_value.is_string())
          fail("{}: '__metadata__': {}: expected a string, got {}", where, shown(key), shown(text_value));
        header.metadata.emplace(key, text_value.get<std::string>());
      }
      continue;
    }
    header.entries.emplace(name, parse_entry(value, data_begin, file_size - data_begin,
                                             fmt::format("{}: {}", where, shown(name))));
  }
  check_layout(header, data_begin, file_size, where);
  return header;
}

}  // namespace decovec
