#include "model/folder_facts.hpp"

#include "io/error.hpp"
#include "io/json.hpp"
#include "model/families.hpp"
#include "model/folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

// modules.json names classes by path; the path changed between versions, the last component did not.
std::string class_name(const std::string& type) { return type.substr(type.rfind('.') + 1); }

void read_prompts(const fs::path& folder, FolderFacts& facts) {
  const fs::path file = folder / folder::kPrompts;
  if (!fs::exists(file)) return;
  const JsonObject config = JsonObject::read(file);
  if (config.has("prompts")) {
    const JsonObject prompts = config.object("prompts");
    for (const auto& entry : prompts.raw().items()) facts.prompts[entry.key()] = prompts.string(entry.key());
  }
  facts.default_prompt = config.string("default_prompt_name", "");
  if (!facts.default_prompt.empty() && !facts.prompts.contains(facts.default_prompt)) {
    fail("{}: 'default_prompt_name': '{}' is not among 'prompts'", config.where(), facts.default_prompt);
  }
}

void read_max_length(const fs::path& folder, FolderFacts& facts) {
  const fs::path file = folder / folder::kMaxLength;
  if (!fs::exists(file)) return;
  const JsonObject config = JsonObject::read(file);
  if (config.boolean("do_lower_case", false)) {
    fail("{}: 'do_lower_case': true is not supported", config.where());
  }
  facts.rule.max_length = config.integer_or("max_seq_length", facts.rule.max_length, 1);
}

void read_nv_embed(const JsonObject& config, const LoadOptions& options, FolderFacts& facts) {
  facts.layout = FolderLayout::nv_embed;
  facts.config = read_model_config(config.object("text_config"), options.attention);
  for (const char* key : {"torch_dtype", "dtype"}) {  // the whole model's counts, and the newer key
    if (config.has(key))
      facts.config.dtype = dtype_from_name(config.string(key), config.where() + ": '" + key + "'");
  }
  facts.pooling = Pooling::latent_attention;
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

void read_pooling_module(const JsonObject& config, FolderFacts& facts) {
  std::vector<std::string> modes;
  if (config.has("pooling_mode")) {
    const Json& mode = config.raw().at("pooling_mode");
    if (mode.is_array()) {
      for (const Json& one : mode) modes.push_back(one.is_string() ? one.get<std::string>() : shown(one));
    } else {
      modes.push_back(config.string("pooling_mode"));
    }
  } else {
    for (const auto& entry : config.raw().items()) {
      constexpr std::string_view prefix = "pooling_mode_";
      if (entry.key().starts_with(prefix) && config.boolean(entry.key(), false)) {
        modes.push_back(entry.key().substr(prefix.size()));
      }
    }
    if (modes.empty()) modes.push_back("mean");  // sentence-transformers' default where every flag is false
  }
  if (modes.size() != 1) {
    fail("{}: {} pooling modes at once are not supported; expected one", config.where(), modes.size());
  }
  if (modes[0] == "mean" || modes[0] == "mean_tokens") {
    facts.pooling = Pooling::mean;
  } else if (modes[0] == "lasttoken") {
    facts.pooling = Pooling::last_token;
  } else {
    fail("{}: pooling mode '{}' is not supported; expected mean or lasttoken", config.where(), modes[0]);
  }
  facts.rule.instruction = config.boolean("include_prompt", true) ? InstructionPooling::pooled
                                                                  : InstructionPooling::sentence_transformers;
}

void read_sentence_transformers(const fs::path& folder, FolderFacts& facts) {
  facts.layout = FolderLayout::sentence_transformers;
  facts.heads.clear();
  const fs::path file = folder / folder::kModules;
  const Json modules = read_json(file);
  if (!modules.is_array()) fail("{}: expected a list of modules, got {}", file.string(), shown(modules));
  for (size_t i = 0; i < modules.size(); ++i) {
    const JsonObject module(modules[i], fmt::format("{}: module {}", file.string(), i));
    const std::string name = class_name(module.string("type"));
    const fs::path path = module.string("path", "");
    if (name == "Transformer" && i == 0) {
      if (!path.empty()) fail("{}: 'path': the Transformer in a subfolder is not supported", module.where());
    } else if (name == "Pooling" && i == 1) {
      if (path.is_absolute() || path.string().find("..") != std::string::npos) {
        fail("{}: 'path': expected a folder inside the model's, got '{}'", module.where(), path.string());
      }
      read_pooling_module(JsonObject::read(folder / path / "config.json"), facts);
    } else if (name == "Normalize" && i >= 2) {
      facts.heads.push_back(Normalize{});
    } else {
      fail(
          "{}: '{}' at this place is not supported; expected Transformer, Pooling, then Normalize or nothing",
          module.where(), name);
    }
  }
  if (!facts.pooling) fail("{}: expected a Pooling module", file.string());
}

}  // namespace

FolderFacts read_folder_facts(const fs::path& folder, const LoadOptions& options) {
  const JsonObject config = JsonObject::read(folder / folder::kConfig);
  FolderFacts facts;
  if (config.string("model_type") == "nvembed") {
    read_nv_embed(config, options, facts);
  } else {
    facts.config = read_model_config(config, options.attention);
    if (fs::exists(folder / folder::kModules)) read_sentence_transformers(folder, facts);
  }
  const SequenceRule stated = read_sequence_rule(folder, {.max_length = facts.config.max_positions});
  facts.rule.bos = stated.bos;
  facts.rule.max_length = stated.max_length;
  if (facts.layout != FolderLayout::nv_embed) facts.rule.eos = stated.eos;  // NV-Embed's config decides
  read_prompts(folder, facts);
  read_max_length(folder, facts);
  return facts;
}

void apply_options(const LoadOptions& options, FolderFacts& facts) {
  const bool changed = options.pooling && facts.pooling != options.pooling;
  if (options.pooling) facts.pooling = options.pooling;
  const bool latent = facts.pooling == Pooling::latent_attention;
  const EndOfText with_eos = latent ? EndOfText::cut : EndOfText::kept;
  if (changed) {
    const bool eos = facts.rule.eos != EndOfText::none || facts.pooling != Pooling::mean;
    facts.rule.eos = eos ? with_eos : EndOfText::none;
    if (latent) facts.rule.instruction = InstructionPooling::nv_embed;
    if (!latent && facts.rule.instruction == InstructionPooling::nv_embed) {
      facts.rule.instruction = InstructionPooling::sentence_transformers;
    }
  }
  if (options.eos) facts.rule.eos = *options.eos ? with_eos : EndOfText::none;
  if (options.max_length > 0) facts.rule.max_length = options.max_length;
}

}  // namespace decovec
