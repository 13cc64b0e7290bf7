// Every family against transformers (tests/data/families_reference.py), and what must hold for all of them.
#include <cstdlib>
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>

#include "decovec/model/embedder.hpp"
#include "io/file.hpp"
#include "model/config_file.hpp"
#include "model/family_folder.hpp"
#include "model/finite_differences.hpp"
#include "model/furthest.hpp"
#include "model/known_embedders.hpp"
#include "model/rope.hpp"

namespace decovec {
namespace {

using test::furthest;
using test::FamilyCases;
using test::FamilyFolder;
using test::states_of;

constexpr double kTolerance = 1e-5;

TEST(Families, StatesEqualTransformers) {
  const FamilyCases cases;
  // Base models, causal language models and multi-modal wrappers, whole and in shards.
  const std::string prefixes[] = {"", "model.", "language_model.model.", "model.language_model."};
  size_t turn = 0;
  for (const Json& one : cases.all.at("cases")) {
    const auto name = one.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const bool sharded = turn % 3 == 2;
    const FamilyFolder folder(cases, one, at::kFloat, prefixes[turn++ % std::size(prefixes)],
                              sharded ? 40000 : int64_t{1} << 40);
    const Embedder model = folder.load();
    const at::Tensor expected = cases.expected.tensor(name);
    EXPECT_LE(furthest(states_of(model, cases.sequences()), expected), kTolerance);
  }
}

// The vectors of a text must not depend on its neighbours, although dynamic and longrope depend on the
// length.
TEST(Families, AStateIsTheSameAloneAndInABatch) {
  const FamilyCases cases;
  at::set_num_threads(2);
  for (const Json& one : cases.all.at("cases")) {
    SCOPED_TRACE(one.at("name"));
    const Embedder model = FamilyFolder(cases, one).load();
    std::vector<TokenSequence> sequences = cases.sequences();
    for (int64_t length : {2, 3, 30, 16, 17, 40}) {
      TokenSequence sequence;
      for (int64_t i = 0; i < length; ++i) sequence.ids.push_back(3 + (i * 31 + length) % 700);
      sequences.push_back(sequence);
    }
    const at::Tensor together = states_of(model, sequences);
    int64_t begin = 0;
    for (const TokenSequence& sequence : sequences) {
      const auto length = static_cast<int64_t>(sequence.ids.size());
      EXPECT_TRUE(states_of(model, {sequence}).equal(together.narrow(0, begin, length)))
          << length << " tokens";
      begin += length;
    }
  }
  at::set_num_threads(1);
}

// bfloat16 rounds to 8 bits after every operation, so two orders of summation agree to no fixed bound. What
// must hold: the distance to the exact (float32) states of the same weights is that of transformers' own
// bfloat16 run, 1 to 4 % here; a quarter more allows for other orders of summation. Every setting moves the
// states by far more.
TEST(Families, Bfloat16IsAsNearToExactAsTransformers) {
  const FamilyCases cases;
  for (const Json& row : cases.all.at("bfloat16")) {
    const auto name = row.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const Embedder model = FamilyFolder(cases, cases.find(name), at::kBFloat16).load();
    EXPECT_EQ(model.dtype(), at::kBFloat16);
    const at::Tensor states = states_of(model, cases.sequences());
    EXPECT_EQ(states.scalar_type(), at::kBFloat16);
    const at::Tensor exact = cases.expected.tensor("bfloat16." + name).to(at::kDouble);
    const double error = ((states.to(at::kDouble) - exact).norm() / exact.norm()).item<double>();
    EXPECT_LE(error, 1.25 * row.at("transformers_error").get<double>());
  }
}

TEST(Families, TheCallersMaskReplacesTheFolders) {
  const FamilyCases cases;
  const auto expect = [&](const std::string& folder, Attention attention, const std::string& expected) {
    SCOPED_TRACE(folder);
    const Embedder model = FamilyFolder(cases, cases.find(folder)).load({.attention = attention});
    EXPECT_LE(furthest(states_of(model, cases.sequences()), cases.expected.tensor(expected)), kTolerance);
  };
  for (const auto& [causal, both] :
       {std::pair("mistral_window", "mistral_both_window"), std::pair("llama", "llama_both"),
        std::pair("qwen2", "qwen2_both"), std::pair("gemma2", "gemma2_both"),
        std::pair("gemma3", "gemma3_is_causal")}) {
    expect(causal, Attention::bidirectional, both);
    expect(both, Attention::causal, causal);
  }
  // EmbeddingGemma's flag halves the window, and only where its mask holds.
  expect("gemma3_both", Attention::bidirectional, "gemma3_both");
  expect("gemma3_both", Attention::causal, "gemma3");
}

TEST(Families, AWrappersTextModelIsRead) {
  const FamilyCases cases;
  Json one = cases.find("gemma3_v4");
  Json text = one.at("config");
  text.erase("torch_dtype");
  one["config"] = {{"model_type", "gemma3"}, {"text_config", text}, {"vision_config", {{"hidden_size", 8}}}};
  const FamilyFolder folder(cases, one, at::kFloat, "language_model.model.");
  std::vector<NamedTensor> tensors = cases.weights(one, at::kFloat, "language_model.model.");
  tensors.push_back({"vision_tower.vision_model.post_layernorm.weight", at::ones({8})});
  tensors.push_back({"multi_modal_projector.mm_soft_emb_norm.weight", at::ones({8})});
  write_safetensors(folder.path() / "model.safetensors", tensors);
  const Embedder model = folder.load();
  EXPECT_EQ(model.transformer.config.family, "gemma3_text");
  EXPECT_LE(furthest(states_of(model, cases.sequences()), cases.expected.tensor("gemma3_v4")), kTolerance);
}

TEST(Families, AWrappersOwnCodeAndMaskAreNotOverlooked) {
  const FamilyCases cases;
  const Json text = cases.find("gemma3_v4").at("config");
  const auto refusal = [&](const char* key, const Json& value) -> std::string {
    const Json config = {{"model_type", "gemma3"}, {"text_config", text}, {key, value}};
    try {
      read_model_config({config, "config.json"}, std::nullopt, std::nullopt);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refusal("auto_map", {{"AutoModel", "modeling_x.Bidirectional"}}).find("modeling_x.py"),
            std::string::npos);
  EXPECT_NE(refusal("auto_map", {{"AutoModelForTextEncoding", "modeling_y.Y"}}).find("modeling_y.py"),
            std::string::npos);
  EXPECT_NE(refusal("is_causal", true).find("'is_causal'"), std::string::npos);
  EXPECT_NE(refusal("use_bidirectional_attention", true).find("text_config"), std::string::npos);
  EXPECT_NE(refusal("quantization_config", Json::object()).find("quantization_config"), std::string::npos);
  EXPECT_NE(refusal("is_causal", false).find("'is_causal'"), std::string::npos);
  EXPECT_EQ(refusal("use_bidirectional_attention", false), "");
  EXPECT_EQ(refusal("auto_map", {{"AutoProcessor", "processing_x.P"}}), "");
}

ModelConfig read_recognised(const JsonObject& config) {
  return read_model_config(config, std::nullopt, attention_of(find_known_embedder({}, config)));
}

TEST(Families, AConfigIsWrittenAsItIsRead) {
  const FamilyCases cases;
  for (const Json& one : cases.all.at("cases")) {
    SCOPED_TRACE(one.at("name"));
    const ModelConfig config = read_recognised({one.at("config"), "config.json"});
    const OrderedJson written = write_model_config(config, config.dtype);
    EXPECT_EQ(read_model_config({Json(written), "written"}, std::nullopt), config);
    ModelConfig other = config;
    other.qk_norm = !other.qk_norm;
    EXPECT_THROW(write_model_config(other, config.dtype), std::invalid_argument);
    other = config;
    other.attention = config.attention == Attention::causal ? Attention::bidirectional : Attention::causal;
    EXPECT_EQ(read_model_config({Json(write_model_config(other, config.dtype)), "written"}, std::nullopt),
              other);
  }
}

// The message of reading a case's config with one key changed.
std::string refusal(const FamilyCases& cases, const std::string& name, const std::string& key,
                    const Json& value) {
  Json config = cases.find(name).at("config");
  config[Json::json_pointer("/" + key)] = value;
  try {
    read_recognised({config, "config.json"});
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "read";
}

TEST(Families, WhatAConfigCannotMeanIsRefusedByName) {
  const FamilyCases cases;
  const auto expect = [&](const std::string& name, const std::string& key, const Json& value,
                          const std::string& said) {
    const std::string message = refusal(cases, name, key, value);
    EXPECT_TRUE(message.starts_with("config.json: ") && message.find(said) != std::string::npos)
        << name << ", " << key << ": " << message;
  };
  expect("qwen3", "layer_types", {"full_attention", "chunked_attention", "full_attention"},
         "chunked_attention");
  expect("qwen3", "layer_types", {"full_attention"}, "'layer_types': expected a list of 3");
  expect("qwen3", "layer_types", "full_attention", "'layer_types': expected a list of 3");
  expect("qwen3", "layer_types", {"full_attention", "sliding_attention", "full_attention"}, "sliding_window");
  expect("qwen3", "max_window_layers", -1, "max_window_layers");
  expect("gte_qwen2", "is_causal", true, "the model's own code says otherwise; say --attention");
  expect("llama_bidirec", "is_causal", true, "the model's own code says otherwise; say --attention");
  expect("gte_qwen2", "auto_map/AutoModel", "modeling_other.Qwen2Model", "remote code (modeling_other.py)");
  expect("gemma2", "use_bidirectional_attention", true, "use_bidirectional_attention");
  expect("gemma2", "attn_logit_softcapping", -1.0, "soft_cap");
  expect("gemma2", "query_pre_attn_scalar", 0, "query_pre_attn_scalar");
  expect("gemma3_both", "is_causal", false, "use_bidirectional_attention");
  expect("gemma3", "rope_parameters/rope_theta", 1e4, "rope_parameters");
  expect("gemma3", "rope_parameters/full_attention/rope_type", "su", "'su' is not supported");
  expect("gemma3_v4", "sliding_window_pattern", 0, "sliding_window_pattern");
  expect("phi3", "rope_parameters/partial_rotary_factor", 0.0, "partial_rotary_factor");
  expect("phi3_v4_longrope", "partial_rotary_factor", 0.5, "short_factor");
  EXPECT_EQ(refusal(cases, "phi3_v4_longrope", "rope_scaling/type", "su"), "read");  // its older name
}

// check_family_folders.py compares every folder's states.
TEST(Families, TransformersReadsWhatIsSaved) {
  const char* python = std::getenv("DECOVEC_REFERENCE_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "DECOVEC_REFERENCE_PYTHON names no Python with transformers";
  const FamilyCases cases;
  const test::TemporaryFolder folder;
  for (const Json& one : cases.all.at("cases")) {
    FamilyFolder(cases, one).load().save(folder.path() / "saved" / one.at("name").get<std::string>());
  }
  const std::string script = (test::test_data().parent_path() / "model/check_family_folders.py").string();
  const std::string output = (folder.path() / "output").string();
  const std::string command =
      fmt::format("HF_HUB_OFFLINE=1 '{}' '{}' '{}' '{}' > '{}' 2>&1", python, script,
                  (folder.path() / "saved").string(), test::families().string(), output);
  EXPECT_EQ(std::system(command.c_str()), 0) << read_file(output);
}

TEST(Families, GradientsEqualFiniteDifferences) {
  const FamilyCases cases;
  for (const char* name : {"llama_biases", "qwen3_biases", "gemma2", "gemma3_both", "phi3_both_window",
                           "llama_gelu", "llama_relu"}) {
    for (bool checkpointed : {false, true}) {
      SCOPED_TRACE(fmt::format("{}{}", name, checkpointed ? ", checkpointed" : ""));
      const Embedder model = FamilyFolder(cases, cases.find(name)).load({.dtype = at::kDouble});
      test::expect_finite_differences(model, {.gradient_checkpointing = checkpointed});
    }
  }
}

// Scores of capped attention come in blocks of queries: past a block, and with several texts a block, as in
// one product over everything.
TEST(Families, ALongCappedTextEqualsOneProduct) {
  const FamilyCases cases;
  for (const char* name : {"gemma2", "gemma2_both"}) {
    SCOPED_TRACE(name);
    const Embedder model = FamilyFolder(cases, cases.find(name)).load();
    Embedder uncapped = model;
    uncapped.transformer.config.soft_cap.reset();
    Embedder hardly = model;
    hardly.transformer.config.soft_cap = 1e4;  // c tanh(s / c) is s to the sixth digit
    std::vector<TokenSequence> sequences(3);
    for (size_t b = 0; b < sequences.size(); ++b) {
      for (size_t i = 0; i < 1300; ++i) {
        sequences[b].ids.push_back(3 + static_cast<int64_t>((i * 7919 + b) % 700));
      }
    }
    EXPECT_LE(furthest(states_of(hardly, sequences), states_of(uncapped, sequences)), 1e-4);
    EXPECT_GT(furthest(states_of(model, sequences), states_of(uncapped, sequences)), 1e-2);
  }
}

TEST(Rope, FrequenciesOfPublishedConfigsEqualTransformers) {
  const FamilyCases cases;
  for (const Json& row : cases.all.at("frequencies")) {
    SCOPED_TRACE(row.at("config").dump());
    const ModelConfig config = read_model_config({row.at("config"), "config.json"}, std::nullopt);
    const RotaryFrequencies got = rotary_frequencies(config.rope, config, row.at("length").get<int64_t>());
    EXPECT_NEAR(got.scale, row.at("scale").get<double>(), 1e-6);
    const auto expected = row.at("inverse").get<std::vector<float>>();
    ASSERT_EQ(got.inverse.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(got.inverse[i], expected[i], 4e-7 * expected[i]) << i;  // a few units in the last place
    }
  }
}

}  // namespace
}  // namespace decovec
