// The cases of tests/data/adapters: a model of tests/data/families each, and adapters on it.
#pragma once
#include <gtest/gtest.h>
#include <string>
#include <vector>

#include "model/family_folder.hpp"

namespace decovec::test {

/// adapters/cases.json.
struct AdapterCases {
  FamilyCases families;
  Json all = read_json(test_data() / "adapters/cases.json");
  TensorFiles expected = TensorFiles::open(test_data() / "adapters/expected.safetensors");

  const Json& find(const std::string& name) const {
    for (const Json& one : all.at("cases"))
      if (one.at("name") == name) return one;
    throw std::runtime_error("adapters/cases.json: no case " + name);
  }
};

/// One of a case's adapters as files.
struct AdapterFiles {
  Json config;
  std::vector<NamedTensor> tensors;

  explicit AdapterFiles(const Json& adapter) : config(adapter.at("config")) {
    for (const Json& tensor : adapter.at("weights")) {
      const auto name = tensor.at(0).get<std::string>();
      tensors.push_back({name, hashed_weight(name, tensor.at(1).get<std::vector<int64_t>>(),
                                             tensor.at(2).get<float>(), tensor.at(3).get<float>())});
    }
  }

  NamedTensor& tensor(const std::string& ending) {
    for (NamedTensor& one : tensors)
      if (one.name.ends_with(ending)) return one;
    throw std::runtime_error("no tensor " + ending);
  }

  void write(const fs::path& folder, const fs::path& base = {}) const {
    fs::create_directories(folder);
    Json stated = config;
    if (!base.empty()) stated["base_model_name_or_path"] = base.string();
    write_json(folder / "adapter_config.json", OrderedJson(stated));
    write_safetensors(folder / "adapter_model.safetensors", tensors);
  }
};

/// A case's base ("base") and adapters ("adapter0", ...) below a temporary folder.
class AdapterFolder : public TemporaryFolder {
 public:
  AdapterFolder(const AdapterCases& cases, const Json& one, at::ScalarType dtype = at::kFloat)
      : base_(cases.families, cases.families.find(one.at("family")), dtype) {
    size_t i = 0;
    for (const Json& adapter : one.at("adapters")) {
      AdapterFiles(adapter).write(path() / fmt::format("adapter{}", i), base());
      adapters_.push_back(path() / fmt::format("adapter{}", i++));
    }
  }

  const fs::path& base() const { return base_.path(); }
  const std::vector<fs::path>& adapters() const { return adapters_; }

  Embedder load(bool merge, LoadOptions options = {}) const {
    options.adapters = adapters_;
    options.merge_adapters = merge;
    options.pooling = Pooling::mean;
    return Embedder::load(base(), options);
  }

 private:
  FamilyFolder base_;
  std::vector<fs::path> adapters_;
};

/// The message of what `call` throws; empty where it throws nothing.
template <class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

#define EXPECT_TELLS(call, part)                                               \
  do {                                                                         \
    const std::string message = ::decovec::test::message_of([&] { call; });    \
    EXPECT_NE(message.find(part), std::string::npos) << "'" << message << "'"; \
  } while (false)

/// What the tests of adapter folders share.
class AdapterTest : public testing::Test {
 protected:
  static LoadOptions mean(LoadOptions options = {}) {
    options.pooling = Pooling::mean;
    return options;
  }
  at::Tensor states(const fs::path& folder, LoadOptions options = {}) const {
    return states_of(Embedder::load(folder, mean(std::move(options))), cases_.families.sequences());
  }
  // What a case's adapters make of its base.
  at::Tensor expected(const std::string& name) const {
    return states_of(AdapterFolder(cases_, cases_.find(name)).load(/*merge=*/true),
                     cases_.families.sequences());
  }
  AdapterFiles files(const std::string& name) const {
    return AdapterFiles(cases_.find(name).at("adapters").back());
  }
  static void set(const fs::path& folder, const std::string& key, const Json& value) {
    Json config = read_json(folder / "adapter_config.json");
    config[key] = value;
    write_json(folder / "adapter_config.json", OrderedJson(config));
  }

  AdapterCases cases_;
};

}  // namespace decovec::test
