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

/// Seed, stages, data (their texts by a hash), how the model reads text and its weights before the first step
/// (by a hash), and under "model" nothing, which is the place of fingerprint_of_files. What is put in here
/// decides whether a run may be resumed, and whether ranks train the same; nothing else needs to know of it.
OrderedJson fingerprint(const Recipe& recipe, const std::map<std::string, Dataset>& datasets,
                        const Embedder& model);

/// Every file that the model is saved with but the weights: small JSON as it is, others by a hash. `scratch`
/// is a folder for these files, which stay there.
OrderedJson fingerprint_of_files(const Embedder& model, const Recipe& recipe,
                                 const std::filesystem::path& scratch);

/// What the two sides of a difference are called.
struct ComparedRuns {
  std::string expected = "the checkpoint", run = "this run";
};

/// The first difference, as "stage.retrieval.batch_size: the checkpoint has 128, this run 64"; empty where
/// there is none.
std::string difference(const Json& expected, const OrderedJson& run, const ComparedRuns& names = {},
                       const std::string& where = "");

}  // namespace decovec
