// The folders of published embedders in tests/data/layouts, with weights computed from the tensors' names.
#pragma once
#include <string>
#include <vector>

#include "io/file.hpp"
#include "model/family_folder.hpp"
#include "model/model_folder.hpp"

namespace decovec::test {

inline fs::path layouts() { return test_data() / "layouts"; }

/// layouts/cases.json and the vectors of its calls.
struct LayoutCases {
  Json all = read_json(layouts() / "cases.json");
  TensorFiles vectors = TensorFiles::open(layouts() / "vectors.safetensors");

  std::vector<std::string> texts() const { return all.at("texts").get<std::vector<std::string>>(); }
  const Json& find(const std::string& name) const {
    for (const Json& one : all.at("cases"))
      if (one.at("name") == name) return one;
    throw std::runtime_error("layouts/cases.json: no case " + name);
  }
  at::Tensor expected(const Json& one, size_t call) const {
    return vectors.tensor(fmt::format("{}.{}", one.at("name").get<std::string>(), call));
  }
};

/// A case's folder, written anew.
class LayoutFolder : public TemporaryFolder {
 public:
  explicit LayoutFolder(const Json& one) {
    for (const auto& [name, content] : one.at("contents").items()) {
      fs::create_directories((path() / name).parent_path());
      write_json(path() / name, OrderedJson(content));
    }
    Json tokenizer = read_json(test_data() / one.at("tokenizer").at("base").get<std::string>());
    tokenizer.update(one.at("tokenizer").at("set"));
    write_json(path() / "tokenizer.json", OrderedJson(tokenizer));
    for (const auto& [folder, rows] : one.at("weights").items()) {
      std::vector<NamedTensor> tensors;
      for (const Json& row : rows) {
        const auto name = row.at(0).get<std::string>();
        // A Dense's weights are drawn by the name of their folder.
        const std::string stored = folder.empty() ? name : "linear" + name.substr(folder.size());
        tensors.push_back({stored, hashed_weight(name, row.at(1).get<std::vector<int64_t>>(),
                                                 row.at(2).get<float>(), row.at(3).get<float>())});
      }
      write_safetensors_folder(path() / folder, tensors);
    }
  }

  /// Puts `value` under `key` of a JSON file of the folder.
  void set(const std::string& file, const std::string& key, const Json& value) const {
    Json json = read_json(path() / file);
    json[key] = value;
    write_json(path() / file, OrderedJson(json));
  }
};

/// The options of a call.
inline EncodeOptions encode_options(const Json& call) {
  EncodeOptions options{.suffix = call.value("suffix", ""), .truncate = Truncate::right};
  if (call.contains("prompt")) options.prompt = call.at("prompt").get<std::string>();
  return options;
}

}  // namespace decovec::test
