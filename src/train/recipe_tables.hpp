// The tables of a recipe: one source a table, recipe.cpp reads the root and puts them together.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "decovec/train/recipe.hpp"
#include "train/toml_fields.hpp"

namespace decovec {

/// What errors call one of `[[kind]]`: by its name, or by its number where it has none.
inline std::string label(std::string_view kind, const toml::table& table, size_t index) {
  const auto* name = table.get_as<std::string>("name");
  return name != nullptr ? fmt::format("{} '{}'", kind, name->get()) : fmt::format("{} {}", kind, index + 1);
}

/// `[[data]]`; relative paths count from `folder`, here and below.
DataRecipe read_data(const toml::table& table, size_t index, const std::filesystem::path& folder);
/// `[[stage]]`, which may name the sets of `data`.
StageRecipe read_stage(const toml::table& table, size_t index, const std::filesystem::path& folder,
                       const std::vector<DataRecipe>& data);
/// `[[evaluation]]`.
EvaluationRecipe read_evaluation(const toml::table& table, size_t index, const std::filesystem::path& folder);
/// The files under 'files', one or more that exist.
std::vector<std::filesystem::path> read_files(TomlFields& fields, const std::filesystem::path& folder);
/// `model` or `[model.new]`.
void read_model(TomlFields& root, Recipe& recipe, const std::filesystem::path& folder);
/// `[embedder]`.
void read_embedder(TomlFields& root, Recipe& recipe);
/// `base`, `adapters`, `merge_adapters` and `merge_output`; after read_model.
void read_starting_adapters(TomlFields& root, Recipe& recipe, const std::filesystem::path& folder);
/// `[lora]`; after these.
void read_lora(TomlFields& root, Recipe& recipe);

}  // namespace decovec
