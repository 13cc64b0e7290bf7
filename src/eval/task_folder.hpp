#pragma once
#include <filesystem>
#include <string>

namespace decovec {

enum class TaskKind { retrieval, classification, clustering, similarity };

/// What a task folder's files say it is. Throws std::runtime_error that lists what is recognised.
TaskKind task_kind(const std::filesystem::path& folder);

/// The folder's own name, also of "." and of a path with a slash at its end.
std::string task_name(const std::filesystem::path& folder);

}  // namespace decovec
