// From a decoder's config.json to a ModelConfig, and back.
#pragma once
#include <string_view>

#include "decovec/model/model_config.hpp"
#include "io/json.hpp"

namespace decovec {

/// The Python module that is to be run in place of transformers' own code (auto_map); empty where there is
/// none.
std::string remote_module(const JsonObject& config);

/// What a decoder's config.json means; of a multi-modal wrapper, its "text_config". `given` overrides the
/// mask, `known` is that of the embedder it was recognised as. Without both, a config that names remote code
/// refuses, since that code may change the mask. Throws std::runtime_error that names file and key for an
/// unknown model_type, rope type or activation.
ModelConfig read_model_config(const JsonObject& config, std::optional<Attention> given,
                              std::optional<Attention> known = std::nullopt);

/// The config.json of a decoder, in a form that transformers 4 and 5 both read. Throws std::invalid_argument
/// where the fields say what the family's config.json cannot.
OrderedJson write_model_config(const ModelConfig& config, at::ScalarType dtype);

/// "float32", "bfloat16", "float16"; throws std::runtime_error that names `where` for others.
at::ScalarType dtype_from_name(std::string_view name, std::string_view where);
std::string_view dtype_name(at::ScalarType dtype);

}  // namespace decovec
