// From a model with an adapter beside its weights to PEFT's adapter folder.
#include <algorithm>
#include <set>

#include <ATen/ATen.h>

#include "decovec/io/safetensors.hpp"
#include "io/error.hpp"
#include "io/json.hpp"
#include "model/adapter_config.hpp"
#include "model/adapter_folder.hpp"
#include "model/config_file.hpp"
#include "model/folder.hpp"
#include "model/save.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

bool base_says(const ModelConfig& config, const fs::path& base) {
  try {
    ModelConfig stated = read_model_config(JsonObject::read(base / folder::kConfig), std::nullopt);
    stated.dtype = config.dtype;
    return stated == config;
  } catch (const std::runtime_error&) {
    return false;
  }
}

}  // namespace

void save_adapter_config(const Embedder& model, const fs::path& folder, at::ScalarType dtype) {
  const Adapter& adapter = *unmerged_adapter(model);
  constexpr const char* kMerge = "merge the adapters first (merge_adapters)";
  if (folder::uses_latents(model.pooling))
    reject("Embedder::save: an adapter folder has no place for the latent attention; {}", kMerge);
  if (model.adapters.size() > 1)
    reject("Embedder::save: no folder holds the base with the adapters merged before; {}", kMerge);
  if (adapter.config.base.empty())
    reject("Embedder::save: no folder holds the base of the adapter; {}", kMerge);
  if (adapter.config.base == adapter.folder)
    reject("Embedder::save: the base's folder {} holds the adapter too, and would apply it twice; {}",
           adapter.config.base, kMerge);
  write_json(folder / folder::kAdapterConfig, write_adapter_config(adapter.config));
  // With a config.json, transformers takes the folder for a whole model.
  if (!base_says(model.transformer.config, adapter.config.base))
    write_json(folder / folder::kConfig, decoder_config(model, dtype));
}

void save_adapter(const Embedder& model, const fs::path& folder, std::optional<at::ScalarType> dtype) {
  const Adapter& adapter = *unmerged_adapter(model);
  std::set<std::string> targeted;
  std::vector<NamedTensor> tensors;
  const auto add = [&](const std::string& name, const Parameter& parameter) {
    const at::Tensor value = parameter.value();
    tensors.push_back(
        {folder::kAdapterPrefix + adapter.path_prefix + name, dtype ? value.to(*dtype) : value});
  };
  const std::vector<Parameter> all = parameters(model.transformer);
  for (const Parameter& parameter : all) {
    if (!is_adapter_weight(parameter.name)) continue;
    // PEFT writes the magnitudes without ".weight" and reads both; transformers 5 knows the longer name
    // alone.
    const bool magnitude = parameter.name.ends_with(".lora_magnitude_vector");
    add(parameter.name + (magnitude ? ".weight" : ""), parameter);
    targeted.insert(parameter.name.substr(0, parameter.name.find(".lora_")));
  }
  for (const Parameter& parameter : all) {
    if (std::find(adapter.replaced.begin(), adapter.replaced.end(), parameter.name) == adapter.replaced.end())
      continue;
    const size_t dot = parameter.name.rfind('.');
    const bool of_target = targeted.contains(parameter.name.substr(0, dot));
    add(of_target ? folder::base_layer(parameter.name) : parameter.name, parameter);
  }
  write_safetensors(folder / folder::kAdapterWeights, tensors);
}

}  // namespace decovec
