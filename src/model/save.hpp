// What Embedder::save writes, in parts.
#pragma once
#include <filesystem>

#include "decovec/model/embedder.hpp"
#include "io/json.hpp"

namespace decovec {

/// The config.json of a model's decoder.
OrderedJson decoder_config(const Embedder& model, at::ScalarType dtype);

/// Writes every file of a saved model but its weights, which are meant to be stored as `dtype`, into a folder
/// that exists. Throws what Embedder::save throws.
void save_all_but_weights(const Embedder& model, const std::filesystem::path& folder, at::ScalarType dtype);

}  // namespace decovec
