// Which modules of a decoder an adapter changes.
#pragma once
#include <string>
#include <vector>

#include "decovec/model/transformer.hpp"

namespace decovec {

/// A module that has an adapter of its own.
struct AdapterTarget {
  std::string module;  ///< "layers.0.self_attn.q_proj"
  Linear* linear;      ///< the map whose rows it is; null for the embedding
  int64_t row, rows, in;
  int64_t rank;
  double scale;
};

/// What `config` targets, in the order of the transformer's parameters, by PEFT's rules. `path_prefix` stands
/// before the modules' names in the paths that those rules match. Throws std::runtime_error that begins with
/// `where` for targets that are no linear maps, and where there is none.
std::vector<AdapterTarget> find_targets(Transformer& transformer, const AdapterConfig& config,
                                        const std::string& path_prefix, const std::string& where);

/// Whether modules_to_save holds the parameter's module, or one around it.
bool is_saved_whole(const AdapterConfig& config, const std::string& parameter_path);

}  // namespace decovec
