// Which tensors of a folder become the model's weights, whatever holds them and whatever they are called.
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <ATen/ATen.h>

#include "decovec/model/embedder.hpp"
#include "io/file.hpp"
#include "model/model_folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;
using test::find_case;
using test::ModelFolder;
using testing::AllOf;
using testing::HasSubstr;

using Tensors = std::map<std::string, at::Tensor>;

const std::vector<std::string> kTexts = {"a short text", "another one"};

// A small decoder whose tensors a test changes before they are written.
class WeightsFile : public testing::Test {
 protected:
  Tensors stored() const {
    Tensors tensors;
    const TensorFiles files = TensorFiles::open(test::models() / "plain/model.safetensors");
    for (const std::string& name : files.names()) tensors[name] = files.tensor(name);
    return tensors;
  }
  void write(const Tensors& tensors) const {
    std::vector<NamedTensor> list;
    for (const auto& [name, tensor] : tensors) list.push_back({name, tensor});
    fs::remove(file_);
    write_safetensors(file_, list);
  }
  // The stored tensors under other names; where that is empty, without the tensor.
  void rename(const std::function<std::string(const std::string&)>& new_name) const {
    Tensors renamed;
    for (const auto& [name, tensor] : stored())
      if (const std::string other = new_name(name); !other.empty()) renamed[other] = tensor;
    write(renamed);
  }
  Embedder load(at::ScalarType dtype = at::kFloat) const {
    return Embedder::load(folder_.path(), {.dtype = dtype, .pooling = Pooling::mean});
  }
  at::Tensor vectors() const { return load().encode(kTexts); }
  std::string refusal(at::ScalarType dtype = at::kFloat) const {
    try {
      load(dtype);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "loaded";
  }

  ModelFolder folder_{find_case("states", "v5")};
  std::filesystem::path file_ = folder_.path() / "model.safetensors";
  at::Tensor expected_ = vectors();
};

TEST_F(WeightsFile, TorchsFilesGiveTheSameVectors) {
  fs::remove(file_);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("no weights"), HasSubstr("pytorch_model.bin.index.json")));
  fs::copy(test::models() / "plain/pytorch_model.bin", folder_.path());
  EXPECT_TRUE(vectors().equal(expected_));
}

TEST_F(WeightsFile, ADensesTorchFileGivesTheSameVectors) {
  const ModelFolder folder(test::folder_case("dense"), test::test_data());
  const at::Tensor expected = Embedder::load(folder.path()).encode(kTexts);
  fs::remove(folder.path() / "2_Dense/model.safetensors");
  fs::copy(test::test_data() / "folders/dense_2.bin", folder.path() / "2_Dense/pytorch_model.bin");
  EXPECT_TRUE(Embedder::load(folder.path()).encode(kTexts).equal(expected));
}

TEST_F(WeightsFile, PrefixesAndWrappers) {
  for (const std::string prefix :
       {"", "model.", "embedding_model.", "language_model.", "language_model.model.", "model.language_model.",
        "base_model.model.", "base_model.model.model.", "module.", "module.model.", "_orig_mod.",
        "_orig_mod.model.", "module._orig_mod.model.", "_fsdp_wrapped_module.model.", "model._orig_mod."}) {
    SCOPED_TRACE(prefix);
    rename([&](const std::string& name) { return prefix + name; });
    EXPECT_TRUE(vectors().equal(expected_));
  }
  // around every layer
  rename([](const std::string& name) {
    const size_t layer = name.find(".self_attn.");
    return layer == name.npos ? name
                              : "model." + std::string(name).insert(
                                               layer, "._fsdp_wrapped_module._checkpoint_wrapped_module");
  });
  EXPECT_THAT(refusal(), HasSubstr("self_attn.q_proj.weight'"));  // the others lack "model."
  rename([](const std::string& name) {
    const size_t layer = name.find(".self_attn.");
    return "model." +
           (layer == name.npos ? name : std::string(name).insert(layer, "._fsdp_wrapped_module._orig_mod"));
  });
  EXPECT_TRUE(vectors().equal(expected_));
  rename([](const std::string& name) { return "encoder." + name; });
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("'embed_tokens.weight'"), HasSubstr("is this a decoder's checkpoint?")));
}

TEST_F(WeightsFile, TwoTensorsOrDecodersOfOneName) {
  Tensors tensors = stored();
  tensors["_orig_mod.norm.weight"] = tensors["norm.weight"];
  write(tensors);
  EXPECT_THAT(refusal(), HasSubstr("both stand for \"norm.weight\""));
  tensors = stored();
  tensors["model.embed_tokens.weight"] = tensors["embed_tokens.weight"];
  write(tensors);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("'embed_tokens.weight'"), HasSubstr("'model.embed_tokens.weight'"),
                               HasSubstr("two decoders")));
}

TEST_F(WeightsFile, ATiedHeadIsTheEmbedding) {
  for (const bool causal_model : {false, true}) {
    const std::string prefix = causal_model ? "model." : "";
    rename([&](const std::string& name) {
      return name == "embed_tokens.weight" ? "lm_head.weight" : prefix + name;
    });
    folder_.set("config.json", "tie_word_embeddings", true);
    EXPECT_TRUE(vectors().equal(expected_));
    folder_.set("config.json", "tie_word_embeddings", nullptr);  // true unless it is said
    EXPECT_TRUE(vectors().equal(expected_));
    folder_.set("config.json", "tie_word_embeddings", false);
    EXPECT_THAT(refusal(), AllOf(HasSubstr("'" + prefix + "embed_tokens.weight'"),
                                 HasSubstr("'lm_head.weight'"), HasSubstr("tie_word_embeddings")));
  }
  rename([](const std::string& name) { return name == "embed_tokens.weight" ? "" : name; });
  EXPECT_THAT(refusal(), HasSubstr("'embed_tokens.weight': missing"));
}

TEST_F(WeightsFile, TensorsOfNoUse) {
  for (const char* name : {"lm_head.weight", "model.lm_head.weight", "layers.0.self_attn.rotary_emb.inv_freq",
                           "score.weight", "pooler.dense.weight", "embeddings.position_ids"}) {
    Tensors tensors = stored();
    tensors[name] = at::zeros({3});
    write(tensors);
    EXPECT_TRUE(vectors().equal(expected_)) << name;
  }
  for (const char* name : {"layers.0.self_attn.underscore.weight", "my_lm_head.weight", "lm_heads.weight"}) {
    Tensors tensors = stored();
    tensors[name] = at::zeros({3});
    write(tensors);
    EXPECT_THAT(refusal(), AllOf(HasSubstr(name), HasSubstr("unexpected")));
  }
}

TEST_F(WeightsFile, FloatingPointNumbersAlone) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat, at::kBFloat16, at::kHalf}) {
    Tensors tensors = stored();
    for (auto& [name, tensor] : tensors) tensor = tensor.to(type);
    write(tensors);
    const at::Tensor loaded = load().transformer.norm;
    EXPECT_TRUE(loaded.equal(stored().at("norm.weight").to(type).to(at::kFloat))) << type;
  }
  for (const auto& [type, name] : {std::pair(at::kChar, "I8"), {at::kInt, "I32"}, {at::kBool, "BOOL"}}) {
    Tensors tensors = stored();
    tensors["layers.0.mlp.up_proj.weight"] = at::ones({64, 32}, type);
    write(tensors);
    EXPECT_THAT(refusal(), AllOf(HasSubstr("'layers.0.mlp.up_proj.weight'"),
                                 HasSubstr(std::string("BF16 or F16, got ") + name), HasSubstr("quantised")));
  }
  // What the writer does not have: eight-bit floats, of as many bytes as the integers.
  Tensors tensors = stored();
  tensors["layers.0.mlp.up_proj.weight"] = at::ones({64, 32}, at::kChar);
  write(tensors);
  std::string bytes = read_file(file_);
  bytes.replace(bytes.find("\"I8\""), 4, "\"F8_E4M3\"");
  bytes[0] = static_cast<char>(bytes[0] + 5);  // the header's size
  write_file(file_, bytes);
  EXPECT_THAT(refusal(), HasSubstr("BF16 or F16, got F8_E4M3"));
}

TEST_F(WeightsFile, ValuesBeyondFloat16) {
  Tensors tensors = stored();
  tensors["norm.weight"] = tensors["norm.weight"].clone();
  tensors["norm.weight"][3] = -70000.0;
  write(tensors);
  EXPECT_THAT(refusal(at::kHalf), AllOf(HasSubstr("'norm.weight'"), HasSubstr("too large for float16")));
  EXPECT_EQ(refusal(at::kBFloat16), "loaded");
  tensors["norm.weight"][3] = -65504.0;
  write(tensors);
  EXPECT_EQ(refusal(at::kHalf), "loaded");
}

// While it lives, the process gets little more memory than it has.
class MemoryLimit {
 public:
  MemoryLimit() {
    ::getrlimit(RLIMIT_AS, &before_);
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit limit{.rlim_cur = pages * 4096 + (size_t{1} << 30), .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_AS, &limit);
  }
  ~MemoryLimit() { ::setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

TEST_F(WeightsFile, SizesThatTheFilesDoNotHaveAreNotAllocated) {
  const MemoryLimit limit;
  const auto with = [](const std::map<std::string, Json>& keys) {
    const ModelFolder folder(find_case("states", "v5"));
    for (const auto& [key, value] : keys) folder.set("config.json", key, value);
    try {
      Embedder::load(folder.path(), {.pooling = Pooling::mean});
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string("loaded");
  };
  constexpr int64_t kHuge = int64_t{1} << 28;
  EXPECT_THAT(with({{"vocab_size", kHuge}}), HasSubstr("'embed_tokens.weight': expected [268435456, 32]"));
  EXPECT_THAT(with({{"hidden_size", kHuge}}), HasSubstr("'embed_tokens.weight': expected [800, 268435456]"));
  EXPECT_THAT(with({{"intermediate_size", kHuge}}),
              HasSubstr("'layers.0.mlp.gate_proj.weight': expected [268435456"));
  EXPECT_THAT(with({{"num_hidden_layers", 10000}}), HasSubstr("'layers.2.input_layernorm.weight': missing"));
  EXPECT_THAT(with({{"head_dim", kHuge}}), HasSubstr("heads x head_dim"));
  EXPECT_THAT(with({{"head_dim", kHuge / 8}}), HasSubstr("'layers.0.self_attn.q_proj.weight': expected ["));
  EXPECT_THAT(with({{"num_attention_heads", kHuge}, {"num_key_value_heads", kHuge}, {"head_dim", kHuge}}),
              HasSubstr("heads x head_dim"));
}

// A small file must not ask for the memory of a large model.
TEST_F(WeightsFile, TensorsThatShareTheirValues) {
  fs::remove(file_);
  fs::copy(test::models() / "plain/shared.bin", folder_.path() / "pytorch_model.bin");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("pytorch_model.bin"), HasSubstr("bytes cannot hold")));
}

TEST_F(WeightsFile, IdsWithoutAnEmbedding) {
  Tensors tensors = stored();
  tensors["embed_tokens.weight"] = tensors["embed_tokens.weight"].narrow(0, 0, 790);
  write(tensors);
  folder_.set("config.json", "vocab_size", 790);
  EXPECT_THAT(refusal(), HasSubstr("the tokenizer's ids 790 to 799 have no embedding"));
  tensors["embed_tokens.weight"] = at::cat({stored().at("embed_tokens.weight"), at::zeros({8, 32})});
  write(tensors);
  folder_.set("config.json", "vocab_size", 808);
  EXPECT_TRUE(vectors().equal(expected_));
}

TEST_F(WeightsFile, LinksThatLeadNowhere) {
  for (const char* name :
       {"modules.json", "tokenizer_config.json", "tokenizer.json", "special_tokens_map.json",
        "added_tokens.json", "sentence_bert_config.json", "config_sentence_transformers.json"}) {
    fs::create_symlink("../../blobs/0123", folder_.path() / name);
    EXPECT_THAT(refusal(), AllOf(HasSubstr(name), HasSubstr("a link to '../../blobs/0123'")));
    fs::remove(folder_.path() / name);
  }
}

}  // namespace
}  // namespace decovec
