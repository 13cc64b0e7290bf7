#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <ATen/core/Tensor.h>

namespace decovec {

/// Which positions of its own text a token attends to.
enum class Attention {
  causal,         ///< itself and earlier ones
  bidirectional,  ///< all
};

enum class Activation { silu };

/// One transformer serves all families; a family is a function from its config.json to these fields.
struct ModelConfig {
  std::string family = "mistral";  ///< model_type of the decoder, as config.json states it
  int64_t vocab_size = 32000;
  int64_t hidden_size = 4096;  ///< H
  int64_t intermediate_size = 14336;
  int64_t layers = 32;
  int64_t heads = 32;
  int64_t kv_heads = 8;  ///< divides heads; query head j uses kv head j / (heads / kv_heads)
  int64_t head_dim = 128;
  double norm_epsilon = 1e-5;
  double rope_theta = 1e4;
  int64_t max_positions = 32768;  ///< stated by the folder; not a limit of the code
  std::optional<int64_t> sliding_window =
      std::nullopt;  ///< causal: W tokens with itself; bidirectional: |q - k| <= W
  Activation activation = Activation::silu;
  Attention attention = Attention::causal;
  at::ScalarType dtype = at::kFloat;  ///< of the weights in the folder
};

/// Throws std::invalid_argument where the fields contradict each other (heads not a multiple of kv_heads, odd
/// head_dim, sizes below 1).
void validate(const ModelConfig& config);

}  // namespace decovec
