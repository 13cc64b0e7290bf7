#include "decovec/model/model_config.hpp"

#include "io/error.hpp"

namespace decovec {

void validate(const ModelConfig& config) {
  const std::pair<const char*, int64_t> sizes[] = {
      {"vocab_size", config.vocab_size},
      {"hidden_size", config.hidden_size},
      {"intermediate_size", config.intermediate_size},
      {"layers", config.layers},
      {"heads", config.heads},
      {"kv_heads", config.kv_heads},
      {"head_dim", config.head_dim},
      {"max_positions", config.max_positions},
      {"sliding_window", config.sliding_window.value_or(1)},
  };
  for (const auto& [name, size] : sizes) {
    // The bound keeps products of sizes within 64 bits.
    if (size < 1 || size > int64_t{1} << 28) {
      reject("model config: {}: expected 1 to {}, got {}", name, int64_t{1} << 28, size);
    }
  }
  if (config.heads % config.kv_heads != 0) {
    reject("model config: heads: expected a multiple of kv_heads ({}), got {}", config.kv_heads,
           config.heads);
  }
  if (config.head_dim % 2 != 0)
    reject("model config: head_dim: expected an even number, got {}", config.head_dim);
  if (!(config.norm_epsilon > 0)) {
    reject("model config: norm_epsilon: expected a number above 0, got {}", config.norm_epsilon);
  }
  if (!(config.rope_theta > 0)) {
    reject("model config: rope_theta: expected a number above 0, got {}", config.rope_theta);
  }
}

}  // namespace decovec
