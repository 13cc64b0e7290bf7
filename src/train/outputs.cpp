#include "train/outputs.hpp"

#include <algorithm>

#include "io/error.hpp"
#include "io/mapped_file.hpp"
#include "model/adapter_folder.hpp"
#include "model/save.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

fs::path normalised(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path).lexically_normal();
  fs::path result = fs::weakly_canonical(absolute, error);
  if (error) result = absolute;
  return result.has_filename() ? result : result.parent_path();  // "folder/"
}

// Both normalised.
bool is_within(const fs::path& inner, const fs::path& outer) {
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

}  // namespace

bool overlap(const fs::path& a, const fs::path& b) {
  const fs::path left = normalised(a), right = normalised(b);
  return is_within(left, right) || is_within(right, left);
}

void check_apart(const std::vector<Output>& outputs) {
  for (size_t i = 0; i < outputs.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (overlap(outputs[i].path, outputs[j].path))
        fail("{}: {}: expected a place apart from {} ({}); choose another name", outputs[i].path.string(),
             outputs[i].what, outputs[j].what, outputs[j].path.string());
}

bool is_free(const fs::path& path) {
  const fs::file_status status = fs::symlink_status(path.has_filename() ? path : path.parent_path());
  return !fs::exists(status) || (fs::is_directory(status) && fs::is_empty(path));
}

void save_output(const Embedder& model, const Recipe& recipe, const fs::path& folder,
                 std::optional<at::ScalarType> dtype) {
  Embedder output = model;
  if (recipe.merge_output) output.merge_adapters();
  output.save(folder, unmerged_adapter(output) == nullptr ? dtype : std::nullopt);
}

void save_output_settings(const Embedder& model, const Recipe& recipe, const fs::path& folder) {
  Embedder output = model;
  if (recipe.merge_output)
    for (Adapter& adapter : output.adapters) adapter.merged = true;
  save_all_but_weights(output, folder, output.dtype());
}

bool holds_files_of(const fs::path& expected, const fs::path& folder) {
  if (!fs::is_directory(expected)) return false;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(expected)) {
    if (!entry.is_regular_file()) continue;
    const fs::path file = folder / entry.path().lexically_relative(expected);
    if (!fs::is_regular_file(file)) return false;
    if (MappedFile::open(entry.path())->bytes() != MappedFile::open(file)->bytes()) return false;
  }
  return true;
}

}  // namespace decovec
