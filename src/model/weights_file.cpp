#include "model/weights_file.hpp"

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "model/folder.hpp"

namespace decovec {
namespace {

// Tensors that checkpoints carry and no embedder needs: the language-model head, what multi-modal models do
// with images, and buffers of old versions.
bool ignorable(const std::string& name) {
  for (const char* part : {"lm_head.", "rotary_emb.inv_freq", "position_ids", "masked_bias", "score.",
                           "pooler.", "vision_tower.", "multi_modal_projector."}) {
    if (name.find(part) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

std::string find_prefix(const Safetensors& files) {
  for (const char* prefix :
       {"", "model.", folder::kBackbonePrefix, "language_model.model.", "model.language_model."}) {
    if (files.contains(std::string(prefix) + "embed_tokens.weight")) return prefix;
  }
  fail(
      "{}: no tensor 'embed_tokens.weight', with or without 'model.' before it; is this a decoder's "
      "checkpoint?",
      files.path().string());
}

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

}  // namespace decovec
