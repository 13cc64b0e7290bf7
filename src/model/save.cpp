// From an Embedder to a model folder: NV-Embed's layout, a sentence-transformers folder, or an adapter's.
#include "model/save.hpp"

#include <map>

#include "decovec/io/safetensors.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "model/adapter_folder.hpp"
#include "model/config_file.hpp"
#include "model/folder.hpp"
#include "model/sentence_transformers_folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

bool normalises(const Embedder& model) {
  return std::any_of(model.heads.begin(), model.heads.end(),
                     [](const Head& head) { return std::holds_alternative<Normalize>(head); });
}

OrderedJson nv_embed_config(const Embedder& model, at::ScalarType dtype) {
  OrderedJson text_config = decoder_config(model, dtype);
  const bool bidirectional = model.transformer.config.attention == Attention::bidirectional;
  // The published family has neither mask nor window; a backbone with either is named as what it is.
  if (bidirectional && !model.transformer.config.sliding_window) text_config["model_type"] = "bidir_mistral";
  const LatentAttentionConfig& latent = model.latents->config;
  return {
      {"add_eos", model.rule.eos != EndOfText::none},
      {"add_pad_token", true},
      {"architectures", {"NVEmbedModel"}},
      {"dtype", dtype_name(dtype)},
      {"hidden_size", model.transformer.config.hidden_size},
      {"is_mask_instruction", model.rule.instruction != InstructionPooling::pooled},
      {"latent_attention_config",
       {{"cross_dim_head", latent.head_dim},
        {"hidden_dim", model.transformer.config.hidden_size},
        {"latent_dim", latent.latent_dim},
        {"model_type", "latent_attention"},
        {"mult", latent.multiplier},
        {"num_cross_heads", latent.heads},
        {"num_latents_value", latent.latents},
        {"output_normalize", normalises(model)}}},
      {"mask_type", bidirectional ? "b" : "c"},
      {"model_type", "nvembed"},
      {"padding_side", "right"},
      {"text_config", std::move(text_config)},
      {"torch_dtype", dtype_name(dtype)},
  };
}

}  // namespace

OrderedJson decoder_config(const Embedder& model, at::ScalarType dtype) {
  OrderedJson config = write_model_config(model.transformer.config, dtype);
  const auto id = [](std::optional<int64_t> token) { return token ? OrderedJson(*token) : OrderedJson(); };
  // Where they are absent, the defaults of the family's class hold, which need not lie in the vocabulary.
  config["bos_token_id"] = id(model.tokenizer->bos());
  config["eos_token_id"] = id(model.tokenizer->eos());
  return config;
}

void save_all_but_weights(const Embedder& model, const fs::path& folder, at::ScalarType dtype) {
  const bool latent = folder::uses_latents(model.pooling);
  if (latent && !decovec::parameters(model.heads).empty())
    reject("Embedder::save: heads: NV-Embed's layout has no place for a Dense");
  if (unmerged_adapter(model) != nullptr) {
    save_adapter_config(model, folder, dtype);
  } else {
    write_json(folder / folder::kConfig,
               latent ? nv_embed_config(model, dtype) : decoder_config(model, dtype));
  }
  if (!latent) write_modules(model, folder);
  write_settings(model, folder);
  save_tokenizer(*model.tokenizer, model.rule, folder);
}

void Embedder::save(const fs::path& folder, std::optional<at::ScalarType> dtype) const {
  at_boundary("Embedder::save", [&] {
    const at::ScalarType stored = dtype.value_or(this->dtype());
    StagedFolder staged(folder);
    save_all_but_weights(*this, staged.path(), stored);
    const bool adapter = unmerged_adapter(*this) != nullptr;
    // By folder: a module's are "2_Dense/linear.weight".
    std::map<std::string, std::vector<NamedTensor>> tensors;
    for (const Parameter& parameter : parameters()) {
      const size_t slash = parameter.name.find('/');
      const bool own_folder = slash != std::string::npos;
      if (adapter && !own_folder) continue;
      tensors[own_folder ? parameter.name.substr(0, slash) : ""].push_back(
          {parameter.name.substr(own_folder ? slash + 1 : 0), parameter.value().to(stored)});
    }
    if (adapter) save_adapter(*this, staged.path(), dtype);
    for (const auto& [place, list] : tensors) write_safetensors_folder(staged.path() / place, list);
    staged.commit();
  });
}

}  // namespace decovec
