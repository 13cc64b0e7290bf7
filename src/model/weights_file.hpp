// From a checkpoint's tensors to a model's parameters.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "decovec/io/safetensors.hpp"
#include "decovec/model/model_config.hpp"
#include "decovec/model/parameter.hpp"

namespace decovec {

/// What stands before "embed_tokens.weight" in the files: base models have nothing, causal language models
/// "model.". Throws std::runtime_error where there is no such tensor.
std::string find_prefix(const Safetensors& files);

/// Refuses sizes that the files cannot have, before a transformer of these sizes is allocated.
void check_embedding_shape(const ModelConfig& config, const Safetensors& files, const std::string& prefix);

/// Copies every parameter from the tensor of its name behind `prefix`, after all names and shapes have been
/// found right. Returns the names of those tensors.
std::set<std::string> load_weights(const std::vector<Parameter>& parameters, const Safetensors& files,
                                   const std::string& prefix);

/// Refuses tensors that are neither `expected` nor known to be of no use to an embedder: one that config.json
/// does not tell of would be left out silently, and the vectors would be wrong.
void refuse_unexpected(const Safetensors& files, const std::set<std::string>& expected);

}  // namespace decovec
