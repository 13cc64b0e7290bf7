// PEFT's adapter_config.json, read and written.
#pragma once
#include <filesystem>

#include "decovec/model/adapter.hpp"
#include "io/json.hpp"

namespace decovec {

/// Reads adapter_config.json of a folder. Throws std::runtime_error that names file and key for another kind
/// of adapter than LoRA, and for a key that changes the result and that decovec does not know.
AdapterConfig read_adapter_config(const std::filesystem::path& folder);

/// The adapter_config.json that read_adapter_config reads back.
OrderedJson write_adapter_config(const AdapterConfig& config);

}  // namespace decovec
