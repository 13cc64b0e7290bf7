// From a model folder to an Embedder: what each layout says about attention, pooling, prompts, EOS and
// length.
#include <set>

#include <ATen/ATen.h>

#include "decovec/io/safetensors.hpp"
#include "decovec/model/embedder.hpp"
#include "io/error.hpp"
#include "io/json.hpp"
#include "model/device.hpp"
#include "model/families.hpp"
#include "model/folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

// What a folder says about everything but the weights.
struct FolderFacts {
  FolderLayout layout = FolderLayout::plain_decoder;
  ModelConfig config;
  std::optional<Pooling> pooling;
  LatentAttentionConfig latent_config;
  SequenceRule rule;
  std::vector<Head> heads = {Normalize{}};
  std::map<std::string, std::string> prompts;
  std::string default_prompt;
};

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

FolderFacts read_facts(const fs::path& folder, const LoadOptions& options) {
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

// Copies every parameter from the tensor of its name behind `prefix`, after all names and shapes have been
// found right. Returns the names of those tensors.
std::set<std::string> load_weights(const std::vector<Parameter>& parameters, const Safetensors& files,
                                   const std::string& prefix) {
  for (const Parameter& parameter : parameters) {
    const std::string name = prefix + parameter.name;
    if (!files.contains(name)) {
      fail("{}: tensor '{}': missing; is the checkpoint complete?", files.path().string(), name);
    }
    const std::vector<int64_t> expected = parameter.shape(), got = files.shape(name);
    if (expected != got) {
      fail("{}: tensor '{}': expected [{}] (config.json), got [{}]; is config.json from another checkpoint?",
           files.path().string(), name, fmt::join(expected, ", "), fmt::join(got, ", "));
    }
  }
  std::set<std::string> loaded;
  for (const Parameter& parameter : parameters) {
    parameter.value().copy_(files.tensor(prefix + parameter.name));
    loaded.insert(prefix + parameter.name);
  }
  return loaded;
}

// Tensors that checkpoints carry and no embedder needs: the language-model head, and buffers of old versions.
bool ignorable(const std::string& name) {
  for (const char* part :
       {"lm_head.", "rotary_emb.inv_freq", "position_ids", "masked_bias", "score.", "pooler."}) {
    if (name.find(part) != std::string::npos) return true;
  }
  return false;
}

// A tensor that config.json does not tell of would be left out silently, and the vectors would be wrong.
void refuse_unexpected(const Safetensors& files, const std::set<std::string>& expected) {
  for (const std::string& name : files.names()) {
    if (!expected.contains(name) && !ignorable(name)) {
      fail(
          "{}: tensor '{}': unexpected: config.json tells of no such weight; is config.json from another "
          "checkpoint?",
          files.path().string(), name);
    }
  }
}

// What stands before "embed_tokens.weight" in the files: base models have nothing, causal language models
// "model.".
std::string find_prefix(const Safetensors& files) {
  for (const char* prefix : {"", "model.", folder::kBackbonePrefix}) {
    if (files.contains(std::string(prefix) + "embed_tokens.weight")) return prefix;
  }
  fail(
      "{}: no tensor 'embed_tokens.weight', with or without 'model.' before it; is this a decoder's "
      "checkpoint?",
      files.path().string());
}

// A transformer of these sizes would be filled from the files: refuse sizes the files cannot have before
// allocating.
void check_embedding_shape(const ModelConfig& config, const Safetensors& files, const std::string& prefix) {
  const std::string name = prefix + "embed_tokens.weight";
  const std::vector<int64_t> expected = {config.vocab_size, config.hidden_size}, got = files.shape(name);
  const std::string last_layer = fmt::format("{}layers.{}.input_layernorm.weight", prefix, config.layers - 1);
  if (expected != got) {
    fail("{}: tensor '{}': expected [{}] (config.json), got [{}]; is config.json from another checkpoint?",
         files.path().string(), name, fmt::join(expected, ", "), fmt::join(got, ", "));
  }
  if (!files.contains(last_layer)) {
    fail("{}: tensor '{}': missing; config.json says {} layers", files.path().string(), last_layer,
         config.layers);
  }
}

LatentAttentionConfig resolved_sizes(LatentAttentionConfig sizes, int64_t hidden_size) {
  if (sizes.head_dim == 0) sizes.head_dim = hidden_size;
  if (sizes.latent_dim == 0) sizes.latent_dim = hidden_size;
  return sizes;
}

// The rule of a model that becomes an embedder of this pooling, or changes its pooling, by the caller's
// options.
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

}  // namespace

Embedder Embedder::load(const fs::path& folder, const LoadOptions& options) {
  return at_boundary("Embedder::load", [&] {
    prepare_device(options.device);
    if (!fs::is_directory(folder)) fail("{}: expected a model folder, found none", folder.string());
    FolderFacts facts = read_facts(folder, options);
    if (!facts.pooling && !options.pooling) {
      fail(
          "{}: a plain decoder: nothing says how to pool its states; say --pooling mean, last_token or "
          "latent_attention (LoadOptions::pooling)",
          folder.string());
    }
    const bool stored_latents = facts.layout == FolderLayout::nv_embed;
    apply_options(options, facts);

    const Safetensors files = Safetensors::open(folder);
    const std::string prefix = find_prefix(files);
    check_embedding_shape(facts.config, files, prefix);
    const at::ScalarType dtype = options.dtype.value_or(facts.config.dtype);
    Embedder model;
    model.tokenizer = Tokenizer::load(folder);
    model.rule = facts.rule;
    model.pooling = *facts.pooling;
    model.heads = std::move(facts.heads);
    model.prompts = std::move(facts.prompts);
    model.default_prompt = std::move(facts.default_prompt);
    model.layout = facts.layout;
    if (model.tokenizer->size() > facts.config.vocab_size) {
      fail("{}: the tokenizer has {} ids, the model embeddings for {}; are both from the same model?",
           folder.string(), model.tokenizer->size(), facts.config.vocab_size);
    }
    model.transformer = empty_transformer(facts.config, dtype, options.device);
    std::set<std::string> loaded = load_weights(decovec::parameters(model.transformer), files, prefix);

    if (model.pooling == Pooling::latent_attention) {
      const LatentAttentionConfig sizes =
          stored_latents ? facts.latent_config
                         : resolved_sizes(options.latent_attention, facts.config.hidden_size);
      if (!stored_latents && !options.fresh_weights) {
        fail(
            "{}: pooling latent_attention: the folder holds no latent attention, and a fresh one would give "
            "random "
            "vectors; train it first, or say --pooling mean or last_token",
            folder.string());
      }
      if (stored_latents) {
        const std::string name = folder::kLatentPrefix + std::string("latents");
        if (!files.contains(name) ||
            files.shape(name) != std::vector<int64_t>{sizes.latents, sizes.latent_dim}) {
          fail("{}: tensor '{}': expected [{}, {}] (config.json), found none or another shape",
               files.path().string(), name, sizes.latents, sizes.latent_dim);
        }
      }
      model.latents = empty_latent_attention(sizes, facts.config.hidden_size, dtype, options.device);
      if (stored_latents) {
        loaded.merge(load_weights(decovec::parameters(*model.latents), files, folder::kLatentPrefix));
      } else {
        initialise(*model.latents, RandomKey(options.seed).with("latent_attention"));
      }
    }
    // NV-Embed's own latents are left aside where the caller pools otherwise.
    if (stored_latents && !model.latents) {
      for (const std::string& name : files.names()) {
        if (name.starts_with(folder::kLatentPrefix)) loaded.insert(name);
      }
    }
    refuse_unexpected(files, loaded);
    return model;
  });
}

Embedder Embedder::create(const ModelConfig& config, std::shared_ptr<const Tokenizer> tokenizer,
                          const LoadOptions& options) {
  return at_boundary("Embedder::create", [&] {
    prepare_device(options.device);
    if (!tokenizer) reject("Embedder::create: tokenizer: expected one, got none");
    if (!options.pooling) {
      reject(
          "Embedder::create: LoadOptions::pooling: expected mean, last_token or latent_attention, got none");
    }
    if (tokenizer->size() > config.vocab_size) {
      reject("Embedder::create: vocab_size: expected at least the tokenizer's {}, got {}", tokenizer->size(),
             config.vocab_size);
    }
    FolderFacts facts;
    facts.config = config;
    if (options.attention) facts.config.attention = *options.attention;
    apply_options(options, facts);
    Embedder model;
    model.tokenizer = std::move(tokenizer);
    model.rule = facts.rule;
    model.pooling = *facts.pooling;
    const at::ScalarType dtype = options.dtype.value_or(facts.config.dtype);
    model.transformer = empty_transformer(facts.config, dtype, options.device);
    const RandomKey key(options.seed);
    initialise(model.transformer, key.with("transformer"));
    if (model.pooling == Pooling::latent_attention) {
      model.latents = empty_latent_attention(resolved_sizes(options.latent_attention, config.hidden_size),
                                             config.hidden_size, dtype, options.device);
      initialise(*model.latents, key.with("latent_attention"));
    }
    return model;
  });
}

}  // namespace decovec
