#include "io/tensor_entry.hpp"

#include <algorithm>
#include <array>
#include <fmt/ranges.h>

#include <ATen/ATen.h>

namespace decovec {
namespace {

// In the order in which the format's own writer lays out data: wide elements first, so that all data is
// aligned without holes.
constexpr std::array kDtypes = {
    TensorDtype{"U64", 64, {}},
    TensorDtype{"I64", 64, at::kLong},
    TensorDtype{"F64", 64, at::kDouble},
    TensorDtype{"C64", 64, {}},
    TensorDtype{"F32", 32, at::kFloat},
    TensorDtype{"U32", 32, {}},
    TensorDtype{"I32", 32, at::kInt},
    TensorDtype{"BF16", 16, at::kBFloat16},
    TensorDtype{"F16", 16, at::kHalf},
    TensorDtype{"U16", 16, {}},
    TensorDtype{"I16", 16, at::kShort},
    // Eight-bit floats come with scales in tensors of their own, so their bare values mean nothing.
    TensorDtype{"F8_E5M2FNUZ", 8, {}},
    TensorDtype{"F8_E4M3FNUZ", 8, {}},
    TensorDtype{"F8_E8M0", 8, {}},
    TensorDtype{"F8_E4M3", 8, {}},
    TensorDtype{"F8_E5M2", 8, {}},
    TensorDtype{"I8", 8, at::kChar},
    TensorDtype{"U8", 8, at::kByte},
    TensorDtype{"F6_E3M2", 6, {}},
    TensorDtype{"F6_E2M3", 6, {}},
    TensorDtype{"F4", 4, {}},
    TensorDtype{"BOOL", 8, at::kBool},
};

}  // namespace

const TensorDtype* find_dtype(std::string_view name) {
  const auto* found = std::find_if(kDtypes.begin(), kDtypes.end(),
                                   [&](const TensorDtype& dtype) { return dtype.name == name; });
  return found == kDtypes.end() ? nullptr : found;
}

const TensorDtype* find_dtype(c10::ScalarType scalar_type) {
  const auto* found = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const TensorDtype& dtype) {
    return dtype.scalar_type == scalar_type;
  });
  return found == kDtypes.end() ? nullptr : found;
}

std::string supported_dtypes() {
  std::vector<std::string_view> names;
  for (const TensorDtype& dtype : kDtypes)
    if (dtype.scalar_type) names.push_back(dtype.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace decovec
