// Adapter folders of PEFT: where their base lies, their weights read and written.
#pragma once
#include <filesystem>
#include <vector>

#include "decovec/model/embedder.hpp"

namespace decovec {

/// Where the parts of a model lie: one folder, or an adapter's and its base's. What the adapter's folder
/// holds itself counts; the rest is the base's.
struct ModelParts {
  std::filesystem::path settings;   ///< modules.json and prompts
  std::filesystem::path config;     ///< config.json
  std::filesystem::path tokenizer;  ///< tokenizer.json and its kin
  std::filesystem::path weights;
  std::vector<std::filesystem::path> adapters;  ///< in the order in which they are applied
};

/// Follows base_model_name_or_path from the folder, or `base` in its place where that is not empty;
/// `adapters` come after those found. Throws std::runtime_error where the base is no folder here or leads
/// back to the adapter, std::invalid_argument for a `base` of a folder that has no adapter, and for an
/// adapter that is there already.
ModelParts find_parts(const std::filesystem::path& folder, const std::filesystem::path& base,
                      const std::vector<std::filesystem::path>& adapters);

/// Absolute, and the same for "a/b" and "a/b/".
std::filesystem::path plain_path(const std::filesystem::path& folder);

/// Adds the adapters of the folders to a model, one after the other; all but the last are merged. Throws
/// std::runtime_error that names file and tensor for tensors that are missing, unexpected or of another
/// shape.
void load_adapters(Embedder& model, const std::vector<std::filesystem::path>& folders);

/// Whether an adapter changes the base's parameter of this path too, rather than stand beside it: a module
/// that is saved whole, or a bias, of a module that the adapter targets or of another.
bool replaces(const AdapterConfig& config, const std::string& parameter_path, bool targeted);

/// The adapter that is not merged; null where there is none.
const Adapter* unmerged_adapter(const Embedder& model);

/// Writes adapter_config.json and adapter_model.safetensors of the adapter that is not merged; its tensors in
/// `dtype`, or as they are. Throws std::invalid_argument for a model whose other weights have no place there.
void save_adapter(const Embedder& model, const std::filesystem::path& folder,
                  std::optional<at::ScalarType> dtype);
/// The first of these alone, and config.json where it says other than the base's.
void save_adapter_config(const Embedder& model, const std::filesystem::path& folder, at::ScalarType dtype);

}  // namespace decovec
