#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

/// Which positions of its own text a token attends to.
enum class Attention {
  causal,         ///< itself and earlier ones
  bidirectional,  ///< all
};

enum class Activation {
  silu,
  gelu,       ///< with the error function
  gelu_tanh,  ///< its approximation by tanh
  relu,
};

enum class RopeType {
  plain,     ///< "default"
  linear,    ///< positions divided by `factor`
  dynamic,   ///< theta grows with a text longer than ModelConfig::max_positions
  yarn,      ///< slow frequencies divided by `factor`, fast ones kept, a ramp between
  longrope,  ///< a divisor for each frequency, one list for texts of up to original_positions and one for
             ///< longer
  llama3,    ///< slow frequencies divided by `factor`, fast ones kept, a blend between
};

/// Rotary positions, in the terms of a config.json's rope_parameters; fields that a type does not read keep
/// their defaults. Source: transformers' modeling_rope_utils.
struct Rope {
  RopeType type = RopeType::plain;
  double theta = 1e4;
  /// All but plain; longrope without it: max_positions / original_positions.
  std::optional<double> factor = std::nullopt;
  int64_t original_positions = 0;  ///< yarn, longrope, llama3: the length the model was first trained with
  /// yarn, longrope: scales cos and sin; else derived from the factor.
  std::optional<double> attention_factor = std::nullopt;
  std::optional<double> mscale = std::nullopt,
                        mscale_all_dim = std::nullopt;  ///< yarn: other terms to derive it
  double beta_fast = 32, beta_slow = 1;  ///< yarn: turns within original_positions that end the ramp
  bool truncate = true;                  ///< yarn: the ramp begins and ends at whole dimensions
  double low_frequency_factor = 1, high_frequency_factor = 4;  ///< llama3
  std::vector<double> short_factors = {}, long_factors = {};   ///< longrope: one for each pair of dimensions

  bool operator==(const Rope&) const = default;
};

/// One transformer serves all families; a family is a function from its config.json to these fields.
struct ModelConfig {
  std::string family = "mistral";  ///< model_type of the decoder that config.json is written as
  int64_t vocab_size = 32000;
  int64_t hidden_size = 4096;  ///< H
  int64_t intermediate_size = 14336;
  int64_t layers = 32;
  int64_t heads = 32;
  int64_t kv_heads = 8;  ///< divides heads; query head j uses kv head j / (heads / kv_heads)
  int64_t head_dim = 128;
  double norm_epsilon = 1e-5;
  int64_t max_positions = 32768;  ///< stated by the folder; not a limit of the code
  Activation activation = Activation::silu;
  Attention attention = Attention::causal;
  at::ScalarType dtype = at::kFloat;  ///< of the weights in the folder

  Rope rope = {};
  std::optional<Rope> sliding_rope = std::nullopt;  ///< of the layers with a window, where theirs differs
  double partial_rotary_factor = 1;  ///< the part of a head's dimensions that turns, the first ones
  /// causal: a token sees W tokens with itself; bidirectional: |q - k| <= W.
  std::optional<int64_t> sliding_window = std::nullopt;
  std::vector<bool> sliding_layers = {};  ///< which layers have that window; empty: all
  std::optional<int64_t> query_scalar =
      std::nullopt;                               ///< scores are divided by its root; head_dim where empty
  std::optional<double> soft_cap = std::nullopt;  ///< c: scores s become c tanh(s / c)

  bool qkv_bias = false, attention_out_bias = false, mlp_bias = false;
  bool qk_norm = false;           ///< each head's q and k pass a norm before they turn
  bool norm_offset = false;       ///< norms multiply by 1 + weight, in float32
  bool post_norms = false;        ///< attention and feed-forward end in norms of their own
  bool scale_embeddings = false;  ///< by sqrt(H), rounded to the compute dtype
  bool fused_checkpoint = false;  ///< q, k and v are one tensor in the files, and so are gate and up

  bool operator==(const ModelConfig&) const = default;
};

/// Throws std::invalid_argument where the fields contradict each other (heads not a multiple of kv_heads, odd
/// head_dim, sizes below 1).
void validate(const ModelConfig& config);

/// The window of a layer; empty where it sees the whole text.
std::optional<int64_t> window_of(const ModelConfig& config, int64_t layer);

/// The dimensions of a head that turn with the position: head_dim * partial_rotary_factor.
int64_t rotary_dimensions(const ModelConfig& config);

}  // namespace decovec
