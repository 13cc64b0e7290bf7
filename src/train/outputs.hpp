// The files and folders that a run writes: seen before it begins to be apart from each other and to be free.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "decovec/train/recipe.hpp"

namespace decovec {

/// A file or folder that a run writes, and what errors call it.
struct Output {
  std::string what;
  std::filesystem::path path;
};

/// True where two paths, however they are written, are the same or one lies inside the other.
bool overlap(const std::filesystem::path& a, const std::filesystem::path& b);
/// Throws std::runtime_error that names two outputs that overlap.
void check_apart(const std::vector<Output>& outputs);

/// True where a folder may appear: there is nothing, or an empty folder.
bool is_free(const std::filesystem::path& path);

/// Saves a trained model as its recipe wants it: whole, in `dtype` or as it is, or its adapter alone, as it
/// is.
void save_output(const Embedder& model, const Recipe& recipe, const std::filesystem::path& folder,
                 std::optional<at::ScalarType> dtype = std::nullopt);
/// The files of that but its weights.
void save_output_settings(const Embedder& model, const Recipe& recipe, const std::filesystem::path& folder);

/// True where a folder holds every file of `expected`, byte by byte; it may hold more.
bool holds_files_of(const std::filesystem::path& expected, const std::filesystem::path& folder);

}  // namespace decovec
