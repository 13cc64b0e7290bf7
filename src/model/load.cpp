// From a model folder, or from sizes and a seed, to an Embedder.
#include <set>

#include <ATen/ATen.h>

#include "decovec/model/embedder.hpp"
#include "io/error.hpp"
#include "model/folder.hpp"
#include "model/folder_facts.hpp"
#include "model/weights_file.hpp"
#include "world/device.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

LatentAttentionConfig resolved_sizes(LatentAttentionConfig sizes, int64_t hidden_size) {
  if (sizes.head_dim == 0) sizes.head_dim = hidden_size;
  if (sizes.latent_dim == 0) sizes.latent_dim = hidden_size;
  return sizes;
}

// The heads with weights of their own, apart from the files.
std::vector<Head> heads_in_memory(std::vector<Head> heads, at::ScalarType dtype, at::Device device) {
  for (Head& head : heads) {
    Dense* dense = std::get_if<Dense>(&head);
    if (dense == nullptr) continue;
    for (at::Tensor* weight : {&dense->weight, &dense->bias, &dense->residual})
      if (weight->defined()) *weight = weight->to(device, dtype, /*non_blocking=*/false, /*copy=*/true);
  }
  return heads;
}

// A Dense that does not fit the pooling is a broken folder, or one whose pooling the caller replaced.
void check_heads(const Embedder& model, const fs::path& folder) {
  try {
    model.dimensions();
  } catch (const std::invalid_argument& error) {
    fail("{}: {}", folder.string(), error.what());
  }
}

}  // namespace

Embedder Embedder::load(const fs::path& folder, const LoadOptions& options) {
  return at_boundary("Embedder::load", [&] {
    prepare_device(options.device);
    if (!fs::is_directory(folder)) fail("{}: expected a model folder, found none", folder.string());
    FolderFacts facts = read_folder_facts(folder, options);
    if (facts.pooling.empty() && !options.pooling) {
      fail(
          "{}: a plain decoder: nothing says how to pool its states; say --pooling, one of {} "
          "(LoadOptions::pooling, embedder.pooling of a recipe)",
          folder.string(), name_of(all_poolings()));
    }
    const bool stored_latents = facts.layout == FolderLayout::nv_embed;
    if (!options.dense.empty() && facts.layout != FolderLayout::sentence_transformers)
      reject("--dense (LoadOptions::dense): {} has no Dense modules", folder.string());
    apply_options(options, facts);

    const auto [files, prefix] = open_backbone(facts.parts.weights);
    const at::ScalarType dtype = options.dtype.value_or(facts.config.dtype);
    check_weights(decovec::parameters(empty_transformer(facts.config, dtype, at::kMeta)), files, prefix);
    Embedder model;
    model.tokenizer = Tokenizer::load(facts.parts.tokenizer);
    model.rule = facts.rule;
    model.pooling = facts.pooling;
    model.heads = heads_in_memory(facts.heads, dtype, options.device);
    model.prompts = std::move(facts.prompts);
    model.default_prompt = std::move(facts.default_prompt);
    model.similarity_fn = std::move(facts.similarity_fn);
    model.layout = facts.layout;
    model.base = plain_path(facts.parts.weights);
    model.transformer.config = facts.config;
    check_heads(model, folder);
    if (model.tokenizer->size() > facts.config.vocab_size) {
      fail(
          "{}: the tokenizer's ids {} to {} have no embedding, the model has {}; are both from the same "
          "model?",
          folder.string(), facts.config.vocab_size, model.tokenizer->size() - 1, facts.config.vocab_size);
    }
    model.transformer = empty_transformer(facts.config, dtype, options.device);
    std::set<std::string> loaded = load_weights(decovec::parameters(model.transformer), files, prefix);

    if (folder::uses_latents(model.pooling)) {
      const LatentAttentionConfig sizes =
          stored_latents ? facts.latent_config
                         : resolved_sizes(options.latent_attention, facts.config.hidden_size);
      if (stored_latents && options.latent_attention != LoadOptions{}.latent_attention &&
          resolved_sizes(options.latent_attention, facts.config.hidden_size) != sizes) {
        reject(
            "{}: the folder has its own latent attention; leave its sizes to it "
            "(LoadOptions::latent_attention,"
            " embedder.latents and its kin of a recipe)",
            folder.string());
      }
      if (!stored_latents && !options.fresh_weights) {
        fail(
            "{}: pooling latent_attention: the folder holds no latent attention, and a fresh one would give "
            "random vectors; train it first, or say --pooling mean or last_token",
            folder.string());
      }
      if (stored_latents) {
        const LatentAttention shapes =
            empty_latent_attention(sizes, facts.config.hidden_size, dtype, at::kMeta);
        check_weights(decovec::parameters(shapes), files, folder::kLatentPrefix);
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
    load_adapters(model, facts.parts.adapters);
    if (options.merge_adapters) model.merge_adapters();
    return model;
  });
}

Embedder Embedder::create(const ModelConfig& config, std::shared_ptr<const Tokenizer> tokenizer,
                          const LoadOptions& options) {
  return at_boundary("Embedder::create", [&] {
    prepare_device(options.device);
    if (!tokenizer) reject("Embedder::create: tokenizer: expected one, got none");
    if (!options.pooling) {
      reject("Embedder::create: LoadOptions::pooling: expected one of {}, got none", name_of(all_poolings()));
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
    model.pooling = facts.pooling;
    const at::ScalarType dtype = options.dtype.value_or(facts.config.dtype);
    model.transformer = empty_transformer(facts.config, dtype, options.device);
    const RandomKey key(options.seed);
    initialise(model.transformer, key.with("transformer"));
    if (folder::uses_latents(model.pooling)) {
      model.latents = empty_latent_attention(resolved_sizes(options.latent_attention, config.hidden_size),
                                             config.hidden_size, dtype, options.device);
      initialise(*model.latents, key.with("latent_attention"));
    }
    return model;
  });
}

}  // namespace decovec
