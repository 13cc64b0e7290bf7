// The file with the vectors that a model must give (docs/verify.md).
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

/// Texts under one prompt, and what they must become.
struct ReferenceCase {
  std::optional<std::string> prompt_name;  ///< a name in the folder, or
  std::optional<std::string> prompt;       ///< the text itself; neither: as without an option
  std::vector<std::string> texts;
  std::vector<std::vector<int64_t>> ids;  ///< empty: not stated
  at::Tensor vectors;                     ///< [texts, D], float32
};

struct ReferenceVectors {
  std::string where;  ///< the file
  std::string dtype;  ///< float32, bfloat16 or float16: what the vectors were computed in
  std::string made_by;
  double tolerance = 0;  ///< by how much a component may differ
  std::vector<ReferenceCase> cases;
};

/// Throws std::runtime_error that names file, case and key.
ReferenceVectors read_reference_vectors(const std::filesystem::path& file);

}  // namespace decovec
