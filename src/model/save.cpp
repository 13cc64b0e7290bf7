// From an Embedder to a model folder: NV-Embed's layout, or a sentence-transformers folder.
#include "model/save.hpp"

#include "decovec/io/safetensors.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "model/families.hpp"
#include "model/folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

OrderedJson nv_embed_config(const Embedder& model, at::ScalarType dtype) {
  OrderedJson text_config = write_model_config(model.transformer.config, dtype);
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
        {"output_normalize", !model.heads.empty()}}},
      {"mask_type", bidirectional ? "b" : "c"},
      {"model_type", "nvembed"},
      {"padding_side", "right"},
      {"text_config", std::move(text_config)},
      {"torch_dtype", dtype_name(dtype)},
  };
}

void write_modules(const Embedder& model, const fs::path& folder) {
  const auto module = [](int index, const char* path, const char* type) {
    return OrderedJson{{"idx", index},
                       {"name", std::to_string(index)},
                       {"path", path},
                       {"type", std::string("sentence_transformers.models.") + type}};
  };
  OrderedJson modules = {module(0, "", "Transformer"), module(1, folder::kPooling, "Pooling")};
  if (!model.heads.empty()) {
    modules.push_back(module(2, "2_Normalize", "Normalize"));
    fs::create_directory(folder / "2_Normalize");
  }
  write_json(folder / folder::kModules, modules);
  fs::create_directory(folder / folder::kPooling);
  write_json(folder / folder::kPooling / "config.json",
             {{"word_embedding_dimension", model.dimensions()},
              {"pooling_mode_cls_token", false},
              {"pooling_mode_mean_tokens", model.pooling == Pooling::mean},
              {"pooling_mode_max_tokens", false},
              {"pooling_mode_mean_sqrt_len_tokens", false},
              {"pooling_mode_weightedmean_tokens", false},
              {"pooling_mode_lasttoken", model.pooling == Pooling::last_token},
              {"include_prompt", model.rule.instruction == InstructionPooling::pooled}});
}

}  // namespace

void save_all_but_weights(const Embedder& model, const fs::path& folder, at::ScalarType dtype) {
  const bool latent = model.pooling == Pooling::latent_attention;
  write_json(folder / folder::kConfig,
             latent ? nv_embed_config(model, dtype) : write_model_config(model.transformer.config, dtype));
  if (!latent) write_modules(model, folder);
  OrderedJson named_prompts = OrderedJson::object();
  for (const auto& [name, text] : model.prompts) named_prompts[name] = text;
  write_json(folder / folder::kPrompts,
             {{"prompts", std::move(named_prompts)},
              {"default_prompt_name",
               model.default_prompt.empty() ? OrderedJson() : OrderedJson(model.default_prompt)},
              {"similarity_fn_name", "cosine"}});
  write_json(folder / folder::kMaxLength,
             {{"max_seq_length", model.rule.max_length}, {"do_lower_case", false}});
  save_tokenizer(*model.tokenizer, model.rule, folder);
}

void Embedder::save(const fs::path& folder, std::optional<at::ScalarType> dtype) const {
  at_boundary("Embedder::save", [&] {
    const at::ScalarType stored = dtype.value_or(this->dtype());
    StagedFolder staged(folder);
    save_all_but_weights(*this, staged.path(), stored);
    std::vector<NamedTensor> tensors;
    for (const Parameter& parameter : parameters()) {
      tensors.push_back({parameter.name, parameter.value().to(stored)});
    }
    write_safetensors_folder(staged.path(), tensors);
    staged.commit();
  });
}

}  // namespace decovec
