// The keys of a config.json that tell of rotary positions, in the layouts of transformers 4 and 5.
#pragma once
#include "model/config_keys.hpp"

namespace decovec {

/// What a family's config class says of rotary positions where the file does not.
struct RopeDefaults {
  double theta = 1e4;
  std::optional<double> sliding_theta = std::nullopt;  ///< layers with a window have a rope of their own
  std::optional<int64_t> original_positions = std::nullopt;
  bool partial = false;          ///< whether the family knows partial_rotary_factor
  bool always_longrope = false;  ///< older names of longrope are "su" and "yarn" in this family
};

/// Reads or writes config.rope, sliding_rope and partial_rotary_factor. Written are both layouts.
void rope_keys(ConfigKeys& keys, ModelConfig& config, const RopeDefaults& defaults = {});

}  // namespace decovec
