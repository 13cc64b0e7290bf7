#include "decovec/model/model_config.hpp"

#include <cmath>
#include <limits>

#include "io/error.hpp"
#include "model/rope.hpp"

namespace decovec {
namespace {

// The bound keeps products of sizes within 64 bits.
constexpr int64_t kMaxSize = int64_t{1} << 28;

// Models compute in float32, whatever digits a config.json has.
void check_positive(const char* name, double value) {
  using Limits = std::numeric_limits<float>;
  if (!(value >= Limits::min() && value <= Limits::max())) {
    reject("model config: {}: expected a number above 0 that float32 can hold, got {}", name, value);
  }
}

// Each number may be right and all of them together turn positions by infinite angles.
void check_frequencies(const Rope& rope, const ModelConfig& config) {
  for (const int64_t length : {int64_t{1}, kMaxSize}) {
    const RotaryFrequencies frequencies = rotary_frequencies(rope, config, length);
    bool finite = std::isfinite(frequencies.scale * frequencies.scale);
    for (const float inverse : frequencies.inverse)
      finite = finite && std::isfinite(inverse * static_cast<float>(kMaxSize));
    if (!finite)
      reject("model config: rope: rope_theta {} and the other numbers give frequencies that are not finite",
             rope.theta);
  }
}

void validate(const Rope& rope, const ModelConfig& config) {
  check_positive("rope_theta", rope.theta);
  if (rope.type == RopeType::plain) return;
  if (rope.type != RopeType::longrope || rope.factor) check_positive("rope factor", rope.factor.value_or(0));
  if (rope.attention_factor) check_positive("rope attention_factor", *rope.attention_factor);
  const int64_t dimensions = rotary_dimensions(config);
  if (rope.type == RopeType::dynamic && dimensions <= 2) {
    reject("model config: dynamic rope: expected more than 2 rotary dimensions, got {}", dimensions);
  }
  if (rope.type == RopeType::dynamic || rope.type == RopeType::linear) return;
  if (rope.original_positions < 1 || rope.original_positions > kMaxSize) {
    reject("model config: rope original_max_position_embeddings: expected 1 to {}, got {}", kMaxSize,
           rope.original_positions);
  }
  if (rope.type == RopeType::yarn) {
    check_positive("rope beta_fast", rope.beta_fast);
    check_positive("rope beta_slow", rope.beta_slow);
    if (rope.theta == 1) reject("model config: rope_theta: expected another number than 1 for yarn");
  }
  if (rope.type == RopeType::llama3) {
    check_positive("rope low_freq_factor", rope.low_frequency_factor);
    if (!(rope.high_frequency_factor > rope.low_frequency_factor)) {
      reject("model config: rope high_freq_factor: expected more than low_freq_factor ({}), got {}",
             rope.low_frequency_factor, rope.high_frequency_factor);
    }
  }
  if (rope.type == RopeType::longrope) {
    for (const auto& [name, factors] :
         {std::pair("short_factor", &rope.short_factors), std::pair("long_factor", &rope.long_factors)}) {
      if (static_cast<int64_t>(factors->size()) != dimensions / 2) {
        reject("model config: rope {}: expected {} numbers (half of the rotary dimensions), got {}", name,
               dimensions / 2, factors->size());
      }
      for (double factor : *factors) check_positive(name, factor);
    }
    if (rope.original_positions == 1) {
      reject("model config: rope original_max_position_embeddings: expected more than 1 for longrope");
    }
  }
}

}  // namespace

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
      {"query_scalar", config.query_scalar.value_or(1)},
  };
  for (const auto& [name, size] : sizes) {
    if (size < 1 || size > kMaxSize) {
      reject("model config: {}: expected 1 to {}, got {}", name, kMaxSize, size);
    }
  }
  if (config.heads > kMaxSize / config.head_dim) {
    reject("model config: heads x head_dim: expected at most {}, got {} x {}", kMaxSize, config.heads,
           config.head_dim);
  }
  if (config.heads % config.kv_heads != 0) {
    reject("model config: heads: expected a multiple of kv_heads ({}), got {}", config.kv_heads,
           config.heads);
  }
  if (config.head_dim % 2 != 0)
    reject("model config: head_dim: expected an even number, got {}", config.head_dim);
  check_positive("norm_epsilon", config.norm_epsilon);
  if (!(config.partial_rotary_factor > 0 && config.partial_rotary_factor <= 1)) {
    reject("model config: partial_rotary_factor: expected a number above 0 and at most 1, got {}",
           config.partial_rotary_factor);
  }
  if (const int64_t dimensions = rotary_dimensions(config); dimensions < 2 || dimensions % 2 != 0) {
    reject("model config: partial_rotary_factor: expected an even number of the head's {} dimensions, got {}",
           config.head_dim, dimensions);
  }
  if (!config.sliding_layers.empty() && static_cast<int64_t>(config.sliding_layers.size()) != config.layers) {
    reject("model config: sliding_layers: expected one for each of {} layers, got {}", config.layers,
           config.sliding_layers.size());
  }
  if (config.soft_cap) check_positive("soft_cap", *config.soft_cap);
  for (const Rope* rope : {&config.rope, config.sliding_rope ? &*config.sliding_rope : nullptr}) {
    if (rope == nullptr) continue;
    validate(*rope, config);
    check_frequencies(*rope, config);
  }
}

std::optional<int64_t> window_of(const ModelConfig& config, int64_t layer) {
  const bool slides = config.sliding_layers.empty() || config.sliding_layers[static_cast<size_t>(layer)];
  return slides ? config.sliding_window : std::nullopt;
}

int64_t rotary_dimensions(const ModelConfig& config) {
  return static_cast<int64_t>(static_cast<double>(config.head_dim) * config.partial_rotary_factor);
}

}  // namespace decovec
