// From a model folder, or from sizes and a seed, to an Embedder.
#include <set>

#include <ATen/ATen.h>

#include "decovec/io/safetensors.hpp"
#include "decovec/model/embedder.hpp"
#include "io/error.hpp"
#include "model/device.hpp"
#include "model/folder.hpp"
#include "model/folder_facts.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

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

}  // namespace

Embedder Embedder::load(const fs::path& folder, const LoadOptions& options) {
  return at_boundary("Embedder::load", [&] {
    prepare_device(options.device);
    if (!fs::is_directory(folder)) fail("{}: expected a model folder, found none", folder.string());
    FolderFacts facts = read_folder_facts(folder, options);
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
            "random vectors; train it first, or say --pooling mean or last_token",
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
