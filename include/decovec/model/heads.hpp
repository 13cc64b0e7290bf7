#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/model/parameter.hpp"

namespace decovec {

/// Divides each row by its L2 norm (at least 1e-12), so a zero row stays zero.
struct Normalize {};

/// activation(x weight^T + bias), and x added to it where use_residual says so.
struct Dense {
  /// The name of torch.nn's class with its defaults: Identity, Tanh, ReLU, GELU, SiLU, Sigmoid, LeakyReLU,
  /// ELU, Mish, Softplus.
  std::string activation = "Identity";
  at::Tensor weight = {};  ///< [out, in]
  at::Tensor bias = {};    ///< [out]; undefined where there is none
  bool use_residual = false;
  at::Tensor residual = {};  ///< [out, in], what x goes through where in differs from out; else undefined
};

/// Keeps the first columns; all of them where there are fewer. It does not normalise again.
struct Truncation {
  int64_t dimensions = 0;
};

/// What follows the pooling, in the order of modules.json. A new module is one more alternative and one more
/// case in heads.cpp.
using Head = std::variant<Normalize, Dense, Truncation>;

/// pooled [B, H] to embeddings [B, D]. A row does not depend on the other rows. Source:
/// sentence-transformers' Normalize, Dense and truncate_dim.
at::Tensor apply(const std::vector<Head>& heads, at::Tensor pooled);

/// D for pooled vectors of `columns` columns. Throws std::invalid_argument where a Dense does not fit what
/// comes before it, or has an activation that is none of the above.
int64_t output_columns(const std::vector<Head>& heads, int64_t columns);

/// Whether a Dense can have this activation.
bool knows_activation(std::string_view name);

/// The weights of every Dense, as "2_Dense/linear.weight": the module's folder, counted from the Transformer
/// (0) and the pooling (1), and the name in its file.
std::vector<Parameter> parameters(const std::vector<Head>& heads);

/// The folder of a Dense: "2_Dense" for the first head.
std::string dense_folder(size_t head);

}  // namespace decovec
