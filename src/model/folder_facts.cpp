#include "model/folder_facts.hpp"

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"
#include "model/config_file.hpp"
#include "model/folder.hpp"
#include "model/known_embedders.hpp"
#include "model/sentence_transformers_folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

void read_nv_embed(const JsonObject& config, const LoadOptions& options, FolderFacts& facts) {
  facts.layout = FolderLayout::nv_embed;
  const JsonObject text_config = config.object("text_config");
  const KnownEmbedder* known = find_known_embedder(facts.transformer, text_config);
  facts.config = read_model_config(text_config, options.attention, attention_of(known));
  for (const char* key : {"torch_dtype", "dtype"}) {  // the whole model's counts, and the newer key
    if (config.has(key))
      facts.config.dtype = dtype_from_name(config.string(key), config.where() + ": '" + key + "'");
  }
  facts.pooling = {Pooling::latent_attention};
  const JsonObject latent = config.object("latent_attention_config");
  LatentAttentionConfig& sizes = facts.latent_config;  // absent keys: the published model's sizes
  sizes.latents = latent.integer_or("num_latents_value", sizes.latents, 1);
  sizes.heads = latent.integer_or("num_cross_heads", sizes.heads, 1);
  sizes.head_dim = latent.integer_or("cross_dim_head", sizes.head_dim, 1);
  sizes.latent_dim = latent.integer_or("latent_dim", sizes.latent_dim, 1);
  sizes.multiplier = latent.integer_or("mult", sizes.multiplier, 1);
  const int64_t hidden = latent.integer_or("hidden_dim", 4096, 1);
  if (hidden != facts.config.hidden_size) {
    fail("{}: 'hidden_dim': expected the decoder's hidden_size {}, got {}", latent.where(),
         facts.config.hidden_size, hidden);
  }
  if (!latent.boolean("output_normalize", true)) facts.heads.clear();
  facts.rule.eos = config.boolean("add_eos", true) ? EndOfText::cut : EndOfText::none;
  const bool masked =
      config.boolean("is_mask_instruction", true) && config.string("padding_side", "right") == "right";
  facts.rule.instruction = masked ? InstructionPooling::nv_embed : InstructionPooling::pooled;
}

// Where a known embedder's own files lie: with the last adapter that has them, else with the model.
fs::path marked_folder(const FolderFacts& facts) {
  const std::vector<fs::path>& adapters = facts.parts.adapters;
  for (auto adapter = adapters.rbegin(); adapter != adapters.rend(); ++adapter)
    if (file_exists(*adapter / folder::kLlm2Vec)) return *adapter;
  return facts.transformer;
}

}  // namespace

FolderFacts read_folder_facts(const fs::path& model_folder, const LoadOptions& options) {
  FolderFacts facts;
  facts.parts = find_parts(model_folder, options.base, options.adapters);
  const fs::path& folder = facts.parts.settings;
  facts.transformer = folder;
  const auto read_config = [&] { return JsonObject::read(facts.parts.config / folder::kConfig); };
  const bool modules = file_exists(folder / folder::kModules);
  if (!modules || file_exists(folder / folder::kConfig)) {
    const JsonObject config = read_config();
    if (config.string("model_type") == "nvembed") read_nv_embed(config, options, facts);
  }
  std::optional<int64_t> max_length;  // what comes before the tokenizer's and the positions'
  if (facts.layout != FolderLayout::nv_embed) {
    if (modules) read_modules(folder, options.dense, facts);
    const JsonObject config = read_config();
    const fs::path marked = marked_folder(facts);
    const KnownEmbedder* known = find_known_embedder(marked, config);
    facts.config = read_model_config(config, options.attention, attention_of(known));
    if (facts.pooled_columns.value_or(facts.config.hidden_size) != facts.config.hidden_size)
      fail("{}: the Pooling's 'word_embedding_dimension': expected the decoder's hidden_size {}, got {}",
           folder.string(), facts.config.hidden_size, *facts.pooled_columns);
    if (!modules && known) max_length = apply_known(*known, marked, config, options, facts);
  }
  const TransformerSettings settings = read_transformer_settings(facts.transformer);
  if (settings.dtype) facts.config.dtype = *settings.dtype;
  const int64_t positions = facts.config.max_positions;
  const SequenceRule stated = read_sequence_rule(facts.parts.tokenizer, {.max_length = positions});
  facts.rule.bos = stated.bos;
  if (settings.max_length) max_length = settings.max_length;
  facts.rule.max_length = max_length.value_or(std::min(stated.max_length, positions));
  if (facts.layout != FolderLayout::nv_embed) facts.rule.eos = stated.eos;  // NV-Embed's config decides
  read_model_settings(folder, facts);
  return facts;
}

void apply_options(const LoadOptions& options, FolderFacts& facts) {
  const bool changed = options.pooling && facts.pooling != std::vector{*options.pooling};
  if (options.pooling) facts.pooling = {*options.pooling};
  const bool latent = folder::uses_latents(facts.pooling);
  const EndOfText with_eos = latent ? EndOfText::cut : EndOfText::kept;
  if (changed) {
    // What was an embedder before keeps what it was trained with.
    const bool becomes_embedder = facts.layout == FolderLayout::plain_decoder;
    const bool wants_eos = becomes_embedder && (latent || options.pooling == Pooling::last_token);
    facts.rule.eos = facts.rule.eos != EndOfText::none || wants_eos ? with_eos : EndOfText::none;
    if (latent) facts.rule.instruction = InstructionPooling::nv_embed;
    if (!latent && facts.rule.instruction == InstructionPooling::nv_embed) {
      facts.rule.instruction = InstructionPooling::sentence_transformers;
    }
  }
  if (options.eos) facts.rule.eos = *options.eos ? with_eos : EndOfText::none;
  if (options.max_length > 0) facts.rule.max_length = options.max_length;
}

}  // namespace decovec
