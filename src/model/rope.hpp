// Rotary frequencies of every rope type. Source: transformers' modeling_rope_utils.
#pragma once
#include <vector>

#include "decovec/model/model_config.hpp"

namespace decovec {

struct RotaryFrequencies {
  std::vector<float> inverse;  ///< radians a position, one for each pair of dimensions
  float scale = 1;             ///< of cos and sin
};

/// A text's frequencies depend on its length where the type is dynamic or longrope. Texts of equal classes
/// share theirs; 0 is the class of every text that is not longer than the model was made for.
///
/// transformers takes the longest text of a batch (and for dynamic, of the batches before); here each text
/// counts for itself, so that its vector does not depend on its neighbours.
int64_t rotary_class(const Rope& rope, const ModelConfig& config, int64_t length);

/// The frequencies of a text of `length` tokens, in float32 arithmetic as in the reference.
RotaryFrequencies rotary_frequencies(const Rope& rope, const ModelConfig& config, int64_t length);

}  // namespace decovec
