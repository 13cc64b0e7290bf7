// What adapter folders may hold, and what is refused by name.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "decovec/model/embedder.hpp"
#include "io/file.hpp"
#include "model/adapter_cases.hpp"
#include "model/adapter_config.hpp"

namespace decovec {
namespace {

using test::AdapterFiles;
using test::AdapterFolder;
using test::fs::path;

using AdapterFile = test::AdapterTest;

TEST_F(AdapterFile, OldNamesOfTensorsAreRead) {
  for (const char* name : {"dora", "saved_modules", "embedding_dora"}) {
    SCOPED_TRACE(name);
    const AdapterFolder folder(cases_, cases_.find(name));
    AdapterFiles old = files(name);
    for (NamedTensor& tensor : old.tensors) {
      std::string& key = tensor.name;
      const auto named = [&](const std::string& part, const std::string& with) {
        if (const size_t at = key.find(part); at != std::string::npos) key.replace(at, part.size(), with);
      };
      for (const char* part : {"lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"})
        named(part, std::string(part) + ".default");
      named("lora_magnitude_vector", "lora_magnitude_vector.default.weight");
      named("norm.weight", "norm.modules_to_save.default.weight");
      named("base_model.model.", "");
    }
    old.write(folder.adapters()[0], folder.base());
    EXPECT_TRUE(states(folder.adapters()[0]).equal(expected(name)));
  }
}

TEST_F(AdapterFile, WeightsMayBeInTheFormatBeforeSafetensors) {
  const AdapterFolder folder(cases_, cases_.find("lora_one_name"));
  const path adapter = folder.adapters()[0];
  test::fs::remove(adapter / "adapter_model.safetensors");
  EXPECT_TELLS(states(adapter), "adapter_model.safetensors");
  test::fs::copy_file(test::test_data() / "adapters/lora_one_name.bin", adapter / "adapter_model.bin");
  EXPECT_TRUE(states(adapter).equal(expected("lora_one_name")));
}

TEST_F(AdapterFile, WhatTheHeadHoldsIsLeftAside) {
  const AdapterFolder folder(cases_, cases_.find("lora"));
  AdapterFiles more = files("lora");
  more.tensors.push_back({"base_model.model.lm_head.lora_A.weight", at::ones({4, 32})});
  more.config["target_modules"].push_back("lm_head");
  more.write(folder.adapters()[0], folder.base());
  EXPECT_TRUE(states(folder.adapters()[0]).equal(expected("lora")));
}

TEST_F(AdapterFile, TensorsThatDoNotFitAreRefusedByName) {
  const AdapterFolder folder(cases_, cases_.find("dora"));
  const path adapter = folder.adapters()[0];
  const auto refused = [&](auto&& change, const std::string& part) {
    AdapterFiles broken = files("dora");
    change(broken);
    broken.write(adapter, folder.base());
    EXPECT_TELLS(states(adapter), part);
  };
  const std::string b = "layers.1.mlp.up_proj.lora_B.weight";
  refused([&](AdapterFiles& f) { f.tensor(b).name = "base_model.model.model.layers.9.x"; }, b + "': missing");
  refused([&](AdapterFiles& f) { f.tensor(b).tensor = at::ones({40, 5}); }, "expected [40, 4]");
  refused([&](AdapterFiles& f) { f.tensor(b).tensor = at::ones({40, 4}, at::kInt); }, "floating-point");
  for (const double number : {std::nan(""), -std::numeric_limits<double>::infinity()})
    refused([&](AdapterFiles& f) { f.tensor(b).tensor[7][1] = number; },
            b + "': holds numbers that are not finite");
  refused(
      [&](AdapterFiles& f) {
        f.tensors.push_back({"base_model.model.model.layers.0.input_layernorm.weight", at::ones({32})});
      },
      "layers.0.input_layernorm.weight': unexpected");
  refused(
      [&](AdapterFiles& f) {
        f.tensors.push_back({"base_model.model.layers.0.mlp.up_proj.lora_A.weight", at::ones({4, 32})});
      },
      "unexpected");
  refused(
      [&](AdapterFiles& f) {
        f.tensors.push_back({"prompt_embeddings", at::ones({4, 32})});
      },
      "'prompt_embeddings': unexpected");
  refused(
      [&](AdapterFiles& f) {
        f.tensor("layers.0.mlp.up_proj.lora_magnitude_vector").tensor = at::ones({39});
      },
      "expected [40]");
  refused(
      [&](AdapterFiles& f) {
        f.tensors = {{"base_model.model.lm_head.lora_A.weight", at::ones({4, 32})}};
      },
      "found none");
  refused([&](AdapterFiles& f) { f.config["use_dora"] = false; }, "lora_magnitude_vector': unexpected");
  refused([&](AdapterFiles& f) { f.config["r"] = int64_t{1} << 20; }, "expected [1048576, ");
  refused([&](AdapterFiles& f) { f.config["modules_to_save"] = {"norm"}; }, "norm.weight': missing");
  refused([&](AdapterFiles& f) { f.config["bias"] = "lora_only"; }, "base_layer.bias': missing");
}

TEST_F(AdapterFile, KeysThatChangeTheResultAreRefusedByName) {
  const AdapterFolder folder(cases_, cases_.find("lora"));
  const path adapter = folder.adapters()[0];
  const struct {
    const char* key;
    Json value;
    std::string part;
  } rows[] = {
      {"peft_type", "IA3", "'peft_type'"},
      {"peft_type", nullptr, "'peft_type'"},
      {"r", 0, "'r'"},
      {"r", -3, "'r'"},
      {"r", "8", "'r'"},
      {"r", 1e30, "'r'"},
      {"lora_alpha", "8", "'lora_alpha'"},
      {"lora_alpha", nullptr, "'lora_alpha'"},
      {"lora_alpha", 1e308, "'lora_alpha'"},
      {"lora_alpha", -1e39, "'lora_alpha'"},
      {"use_dora", "yes", "'use_dora'"},
      {"use_rslora", 1, "'use_rslora'"},
      {"bias", "some", "'bias'"},
      {"target_modules", nullptr, "'target_modules'"},
      {"target_modules", 7, "'target_modules'"},
      {"target_modules", Json::array({7}), "'target_modules'"},
      {"target_modules", Json::array({""}), "'target_modules'"},
      {"target_modules", Json::array(), "none of the decoder's modules"},
      {"target_modules", {"query"}, "none of the decoder's modules"},
      {"target_modules", {"norm"}, "neither a linear map nor the embedding"},
      {"target_modules", "(", "'target_modules'"},
      {"target_modules", "(a+)+(?R)b", "'target_modules'"},
      {"exclude_modules", {{"a", 1}}, "'exclude_modules'"},
      {"exclude_modules", "[", "'exclude_modules'"},
      {"layers_to_transform", "0", "'layers_to_transform'"},
      {"layers_to_transform", Json::array({-1}), "'layers_to_transform'"},
      {"layers_to_transform", Json::array({9}), "none of the decoder's modules"},
      {"layers_pattern", "lay(er|ers)", "'layers_pattern'"},
      {"modules_to_save", {"no.*m"}, "'modules_to_save'"},
      {"rank_pattern", {{"q_proj", 0}}, "'q_proj'"},
      {"rank_pattern", {{"q_proj", 1.5}}, "'q_proj'"},
      {"rank_pattern", {{"(", 3}}, "'rank_pattern'"},
      {"rank_pattern", {"q_proj"}, "'rank_pattern'"},
      {"alpha_pattern", {{"q_proj", "2"}}, "'q_proj'"},
      {"alpha_pattern", {{"q_proj", 1e39}}, "'q_proj'"},
      {"base_model_name_or_path", std::string("ba\0se", 5),
       "'base_model_name_or_path': expected a path without NUL, got \"ba\\u0000se\""},
      {"init_lora_weights", "pissa", "'init_lora_weights'"},
      {"init_lora_weights", "pissa_niter_4", "'init_lora_weights'"},
      {"init_lora_weights", "olora", "'init_lora_weights'"},
      {"init_lora_weights", "loftq", "'init_lora_weights'"},
      {"alora_invocation_tokens", {1, 2}, "'alora_invocation_tokens'"},
      {"trainable_token_indices", {1, 2}, "'trainable_token_indices'"},
      {"target_parameters", {"w"}, "'target_parameters'"},
      {"layer_replication", {{0, 2}}, "'layer_replication'"},
      {"megatron_config", {{"a", 1}}, "'megatron_config'"},
      {"lora_bias", true, "'lora_bias'"},
      {"use_qalora", true, "'use_qalora'"},
      {"kasa_config", {{"beta", 1}}, "'kasa_config'"},
      {"ensure_weight_tying", true, "'ensure_weight_tying'"},
      {"some_future_key", 3, "'some_future_key'"},
  };
  for (const auto& row : rows) {
    SCOPED_TRACE(fmt::format("{} {}", row.key, row.value.dump()));
    files("lora").write(adapter, folder.base());
    set(adapter, row.key, row.value);
    EXPECT_TELLS(states(adapter), "adapter_config.json");
    EXPECT_TELLS(states(adapter), row.part);
  }
  for (const char* text :
       {"", "[]", "{", "{\"r\": 4, \"r\": 4}", "{\"peft_type\": \"LORA\", \"r\": 1e999}"}) {
    write_file(adapter / "adapter_config.json", text);
    EXPECT_TELLS(states(adapter), "adapter_config.json");
  }
}

TEST_F(AdapterFile, KeysThatChangeNothingArePassedOver) {
  const AdapterFolder folder(cases_, cases_.find("lora"));
  const path adapter = folder.adapters()[0];
  const Json rows = {{"auto_mapping", {{"base_model_class", "LlamaModel"}}},
                     {"inference_mode", true},
                     {"revision", "main"},
                     {"peft_version", "0.5.0"},
                     {"fan_in_fan_out", true},
                     {"init_lora_weights", "gaussian"},
                     {"loftq_config", {{"loftq_bits", 4}}},
                     {"eva_config", {{"rho", 2.0}}},
                     {"some_future_key", nullptr},
                     {"other_future_key", Json::array()},
                     {"enable_lora", nullptr},
                     {"merge_weights", false}};
  for (const auto& [key, value] : rows.items()) set(adapter, key, value);
  EXPECT_TRUE(states(adapter).equal(expected("lora")));
}

TEST_F(AdapterFile, AnAdapterOfAnotherFamilyIsRefused) {
  const AdapterFolder folder(cases_, cases_.find("lora"));  // on a Llama
  const path adapter = folder.adapters()[0];
  const auto mapping = [](const char* name, const std::string& library) {
    return Json{{"base_model_class", name}, {"parent_library", library}};
  };
  const std::string models = "transformers.models.";
  for (const Json& other : {mapping("MistralModel", models + "mistral.modeling_mistral"),
                            Json{{"base_model_class", "MistralForCausalLM"}},
                            Json{{"parent_library", models + "gemma2.modeling_gemma2"}},
                            mapping("BertModel", models + "bert.modeling_bert"),
                            mapping("Qwen2Model", "transformers_modules.org.modeling_qwen")}) {
    set(adapter, "auto_mapping", other);
    EXPECT_TELLS(states(adapter), "adapter_config.json: 'auto_mapping'");
    EXPECT_TELLS(states(adapter), "of the family llama; give the folder of the adapter's own base");
    EXPECT_TELLS(states(folder.base(), {.adapters = {adapter}}), "of the family llama");
  }
  for (const Json& same : {mapping("LlamaForCausalLM", models + "llama.modeling_llama"), Json::object(),
                           mapping("LlamaEncoderModel", "transformers_modules.x.modeling_llama_encoder")}) {
    set(adapter, "auto_mapping", same);
    EXPECT_TRUE(states(adapter).equal(expected("lora")));
  }
  set(adapter, "auto_mapping", mapping("Gemma3TextModel", models + "gemma3.modeling_gemma3"));
  EXPECT_NO_THROW(refuse_other_family(adapter, "gemma3_text"));
  EXPECT_THROW(refuse_other_family(adapter, "gemma"), std::runtime_error);
}

TEST_F(AdapterFile, ASumThatIsTooLargeIsRefused) {
  const AdapterFolder folder(cases_, cases_.find("lora"));
  AdapterFiles large = files("lora");
  for (NamedTensor& tensor : large.tensors) tensor.tensor.fill_(1e3);
  large.config["lora_alpha"] = 3e38;
  large.write(folder.adapters()[0], folder.base());
  EXPECT_TELLS(states(folder.adapters()[0]),
               "the sum of weight and adapter is not finite; check the adapter's 'lora_alpha'");
}

// The first pattern that matches counts, in the order of the file.
TEST_F(AdapterFile, PatternsKeepTheirOrder) {
  const test::TemporaryFolder folder;
  write_file(folder.path() / "adapter_config.json",
             R"({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": "all-linear",
                 "rank_pattern": {"z": 3, "a.*": 5, "m": 2}, "alpha_pattern": {"q": 2, "b": 0.5}})");
  const AdapterConfig config = read_adapter_config(folder.path());
  EXPECT_EQ(config.rank_pattern,
            (std::vector<std::pair<std::string, int64_t>>{{"z", 3}, {"a.*", 5}, {"m", 2}}));
  write_json(folder.path() / "adapter_config.json", write_adapter_config(config));
  EXPECT_EQ(read_adapter_config(folder.path()).rank_pattern, config.rank_pattern);
  EXPECT_EQ(read_adapter_config(folder.path()).alpha_pattern, config.alpha_pattern);
}

}  // namespace
}  // namespace decovec
