// The tiny models of tests/data/families: a config.json each, and weights computed from the tensors' names.
#pragma once
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "decovec/model/embedder.hpp"
#include "model/model_folder.hpp"

namespace decovec::test {

inline fs::path families() { return test_data() / "families"; }

/// families_reference.py's `weight`: float32 values in shift + [-scale, scale) from a hash of name and index.
inline at::Tensor hashed_weight(const std::string& name, const std::vector<int64_t>& shape, float scale,
                                float shift) {
  uint64_t key = 0xCBF29CE484222325;
  for (unsigned char byte : name) key = (key ^ byte) * 0x100000001B3;
  at::Tensor tensor = at::empty(shape, at::kFloat);
  float* values = tensor.data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    uint64_t x = key + static_cast<uint64_t>(i) * 0x9E3779B97F4A7C15;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    x = x ^ (x >> 31);
    const float unit = static_cast<float>(x >> 40) * 0x1p-23f - 1.0f;
    values[i] = unit * scale + shift;
  }
  return tensor;
}

/// families/cases.json.
struct FamilyCases {
  Json all = read_json(families() / "cases.json");
  TensorFiles expected = TensorFiles::open(families() / "expected.safetensors");

  const Json& find(const std::string& name) const {
    for (const Json& one : all.at("cases")) {
      if (one.at("name") == name) return one;
    }
    throw std::runtime_error("cases.json: no case " + name);
  }
  std::vector<NamedTensor> weights(const Json& one, at::ScalarType dtype, const std::string& prefix) const {
    std::vector<NamedTensor> tensors;
    for (const Json& tensor : all.at("weights").at(one.at("weights").get<size_t>())) {
      const auto name = tensor.at(0).get<std::string>();
      tensors.push_back({prefix + name, hashed_weight(name, tensor.at(1).get<std::vector<int64_t>>(),
                                                      tensor.at(2).get<float>(), tensor.at(3).get<float>())
                                            .to(dtype)});
    }
    return tensors;
  }
  /// The sequences of all cases, in the order of the rows of `expected`.
  std::vector<TokenSequence> sequences() const {
    std::vector<TokenSequence> list;
    for (const Json& ids : all.at("sequences")) list.push_back({.ids = ids.get<std::vector<int64_t>>()});
    return list;
  }
};

/// A case's model folder, written anew.
class FamilyFolder : public TemporaryFolder {
 public:
  explicit FamilyFolder(const FamilyCases& cases, const Json& one, at::ScalarType dtype = at::kFloat,
                        const std::string& prefix = "", int64_t max_shard_bytes = int64_t{1} << 40) {
    Json config = one.at("config");
    config.erase("torch_dtype");
    config["dtype"] = dtype == at::kBFloat16 ? "bfloat16" : "float32";
    write_json(path() / "config.json", OrderedJson(config));
    write_safetensors_folder(path(), cases.weights(one, dtype, prefix), {.max_shard_bytes = max_shard_bytes});
    fs::copy_file(test_data() / "tokenizer/tokenizer.model", path() / "tokenizer.model");
  }

  Embedder load(LoadOptions options = {}) const {
    options.pooling = Pooling::mean;
    return Embedder::load(path(), options);
  }
};

/// States of sequences packed into one batch, with the rows in the order given.
inline at::Tensor states_of(const Embedder& model, const std::vector<TokenSequence>& sequences) {
  const at::NoGradGuard no_graph;
  const PackedBatch packed = pack(sequences, int64_t{1} << 40).at(0);
  const at::Tensor states = forward(model.transformer, packed.batch);
  std::vector<at::Tensor> rows(sequences.size());
  for (size_t b = 0; b < rows.size(); ++b) {
    const int32_t begin = packed.batch.cu_seqlens[b], end = packed.batch.cu_seqlens[b + 1];
    rows[static_cast<size_t>(packed.rows[b])] = states.narrow(0, begin, end - begin);
  }
  return at::cat(rows);
}

}  // namespace decovec::test
