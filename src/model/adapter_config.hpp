// PEFT's adapter_config.json, read and written.
#pragma once
#include <filesystem>

#include "decovec/model/adapter.hpp"
#include "io/json.hpp"

namespace decovec {

/// Reads adapter_config.json of a folder. Throws std::runtime_error that names file and key for another kind
/// of adapter than LoRA, and for a key that changes the result and that decovec does not know.
AdapterConfig read_adapter_config(const std::filesystem::path& folder);

/// Throws std::runtime_error where adapter_config.json of a folder says ('auto_mapping') that the adapter was
/// made on a model of another family of transformers than `family` (ModelConfig::family).
void refuse_other_family(const std::filesystem::path& folder, const std::string& family);

/// The adapter_config.json that read_adapter_config reads back.
OrderedJson write_adapter_config(const AdapterConfig& config);

}  // namespace decovec
