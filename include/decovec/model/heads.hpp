#pragma once
#include <variant>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

/// Divides each row by its L2 norm (at least 1e-12), so a zero row stays zero.
struct Normalize {};

/// What follows the pooling, in the order of modules.json. A new module is one more alternative and one more
/// case in `apply`.
using Head = std::variant<Normalize>;

/// pooled [B, H] to embeddings [B, D].
at::Tensor apply(const std::vector<Head>& heads, at::Tensor pooled);

}  // namespace decovec
