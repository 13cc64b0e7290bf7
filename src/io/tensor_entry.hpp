// Where a tensor's values lie in a file: what the header of every format becomes.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <c10/core/ScalarType.h>

namespace decovec {

/// An element type, by its name in safetensors files. Types without `scalar_type` can be measured, but not
/// held in a tensor here.
struct TensorDtype {
  std::string_view name;
  int64_t bits;
  std::optional<c10::ScalarType> scalar_type;
};

/// The type of a name, or of a tensor's elements; null where there is none. The pointers lie in one array, in
/// the order in which a safetensors file lays out its data.
const TensorDtype* find_dtype(std::string_view name);
const TensorDtype* find_dtype(c10::ScalarType scalar_type);
/// The names of the types that a tensor can hold, for error messages.
std::string supported_dtypes();

struct TensorEntry {
  const TensorDtype* dtype;
  std::vector<int64_t> shape;
  int64_t begin, end;                 // the bytes that its elements span, from the start of the file
  std::vector<int64_t> strides = {};  // in elements; empty: row major
};

using TensorEntries = std::map<std::string, TensorEntry>;

/// The most dimensions a tensor may have: LibTorch's own bound.
constexpr size_t kMaxDimensions = 64;

}  // namespace decovec
