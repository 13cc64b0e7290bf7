// The model folders of tests/data/models, put together from the files that cases.json names.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <string>
#include <unistd.h>

#include "decovec/io/safetensors.hpp"
#include "decovec/io/tensor_files.hpp"
#include "io/json.hpp"

namespace decovec::test {

namespace fs = std::filesystem;

inline fs::path test_data() {
  const char* folder = std::getenv("DECOVEC_TEST_DATA");
  return folder != nullptr ? folder : "tests/data";
}

inline fs::path models() { return test_data() / "models"; }

/// A new folder below the system's temporary one, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    static int count = 0;
    path_ = fs::temp_directory_path() / fmt::format("decovec-model-test-{}-{}", ::getpid(), count++);
    fs::create_directories(path_);
  }
  ~TemporaryFolder() { fs::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// A case's model folder, copied together: "files" below `root`, and JSON "contents" given in place.
class ModelFolder : public TemporaryFolder {
 public:
  explicit ModelFolder(const Json& model_case, const fs::path& root = models()) {
    for (const auto& [name, source] : model_case.at("files").items()) {
      const fs::path file = path() / name;
      fs::create_directories(file.parent_path());
      fs::copy_file(root / source.get<std::string>(), file);
      fs::permissions(file, fs::perms::owner_write, fs::perm_options::add);
    }
    const Json contents = model_case.value("contents", Json::object());
    for (const auto& [name, content] : contents.items()) {
      fs::create_directories((path() / name).parent_path());
      write_json(path() / name, OrderedJson(content));
    }
  }

  /// Puts `value` under `key` of a JSON file of the folder ("text_config/rope_theta" goes into objects).
  void set(const std::string& file, const std::string& key, const Json& value) const {
    Json json = read_json(path() / file);
    json[Json::json_pointer("/" + key)] = value;
    write_json(path() / file, OrderedJson(json));
  }
};

/// One of the lists of cases.json: "texts", "states", "bfloat16", "vectors".
inline Json cases(const std::string& list) { return read_json(models() / "cases.json").at(list); }

/// The case of that name in one of the lists.
inline Json find_case(const std::string& list, const std::string& name) {
  for (const Json& one : cases(list)) {
    if (one.at("name") == name) return one;
  }
  throw std::runtime_error("cases.json: no " + list + " case " + name);
}

/// The cases of tests/data/folders, whose files lie below tests/data, and their vectors by name.
inline Json folder_cases() { return read_json(test_data() / "folders/cases.json").at("cases"); }
inline TensorFiles folder_vectors() { return TensorFiles::open(test_data() / "folders/vectors.safetensors"); }

inline Json folder_case(const std::string& name) {
  for (const Json& one : folder_cases()) {
    if (one.at("name") == name) return one;
  }
  throw std::runtime_error("folders/cases.json: no case " + name);
}

inline TensorFiles expected_values() { return TensorFiles::open(models() / "expected.safetensors"); }

}  // namespace decovec::test
