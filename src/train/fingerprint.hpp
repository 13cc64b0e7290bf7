// What a run's result depends on, so that a run is resumed as what it was begun.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "decovec/data/dataset.hpp"
#include "decovec/model/embedder.hpp"
#include "decovec/train/recipe.hpp"
#include "io/json.hpp"

namespace decovec {

/// Seed, stages, data (their texts by a hash), how the model reads text, its weights before the first step
/// (by a hash), and every file that it is saved with but the weights (small JSON as it is, others by a hash).
/// What is put in here decides whether a run may be resumed; nothing else needs to know of it. `scratch` is a
/// folder for the model's files, which stay there.
OrderedJson fingerprint(const Recipe& recipe, const std::map<std::string, Dataset>& datasets,
                        const Embedder& model, const std::filesystem::path& scratch);

/// The first difference, as "stage.retrieval.batch_size: the checkpoint has 128, this run 64"; empty where
/// there is none.
std::string difference(const Json& checkpoint, const OrderedJson& run, const std::string& where = "");

}  // namespace decovec
