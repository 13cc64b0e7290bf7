// The families of decoders: what each says of itself, in one table.
#pragma once
#include <string>
#include <string_view>

#include "model/config_keys.hpp"

namespace decovec {

struct Family {
  std::string_view model_type;
  std::string_view written_as;    ///< the model_type of what is saved
  std::string_view architecture;  ///< the class of transformers that loads what is saved
  /// Reads or writes a config.json of the family. The attention is in the config before.
  void (*keys)(ConfigKeys& keys, ModelConfig& config);
};

/// The family of a model_type. Throws std::runtime_error that begins with `where` and names those there are.
const Family& find_family(std::string_view model_type, const std::string& where);

/// The family whose class of transformers has this name ("LlamaModel", "LlamaForCausalLM"), or null.
const Family* find_family_of_class(std::string_view name);

}  // namespace decovec
