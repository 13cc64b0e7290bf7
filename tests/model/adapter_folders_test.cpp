// Adapter folders: how their base is found, and what is written.
#include <cstdlib>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "decovec/model/embedder.hpp"
#include "io/file.hpp"
#include "model/adapter_cases.hpp"

namespace decovec {
namespace {

using test::AdapterFiles;
using test::AdapterFolder;
using test::states_of;

using AdapterFolders = test::AdapterTest;
using test::fs::path;

// ---------------------------------------------------------------------------------------- where the base is

TEST_F(AdapterFolders, TheBaseIsFoundByItsPath) {
  const AdapterFolder folder(cases_, cases_.find("lora"));
  const path adapter = folder.adapters()[0];
  const at::Tensor states = expected("lora");
  EXPECT_TRUE(this->states(adapter).equal(states));
  test::fs::create_directory_symlink(folder.base(), folder.path() / "base");
  set(adapter, "base_model_name_or_path", "../base");
  EXPECT_TRUE(this->states(adapter).equal(states));
  EXPECT_TRUE(this->states(adapter / "").equal(states));
  for (const Json& name : {Json("org/some-decoder"), Json(), Json("")}) {
    set(adapter, "base_model_name_or_path", name);
    EXPECT_TELLS(this->states(adapter), "--base DIR (LoadOptions::base)");
    EXPECT_TRUE(this->states(adapter, {.base = folder.base()}).equal(states));
  }
  EXPECT_TELLS(this->states(adapter, {.base = folder.path() / "none"}), "--base");
  EXPECT_THROW(this->states(folder.base(), {.base = folder.base()}), std::invalid_argument);
  EXPECT_TELLS(this->states(folder.base(), {.adapters = {folder.base()}}), "adapter_config.json");
}

TEST_F(AdapterFolders, ABaseMayBeAnAdapterFolderItself) {
  const AdapterFolder folder(cases_, cases_.find("stacked"));
  const auto& adapters = folder.adapters();
  set(adapters[1], "base_model_name_or_path", adapters[0].string());
  EXPECT_TRUE(states(adapters[1]).equal(expected("stacked")));
  EXPECT_TRUE(states(adapters[0], {.adapters = {adapters[1]}}).equal(expected("stacked")));
  // In a circle.
  set(adapters[0], "base_model_name_or_path", adapters[1].string());
  const std::string circle =
      fmt::format("({} on {} on {})", adapters[1].string(), adapters[0].string(), adapters[1].string());
  EXPECT_TELLS(states(adapters[1]), "the adapter's base leads back to it " + circle);
}

TEST_F(AdapterFolders, NoMoreThanAFewLieOnOneAnother) {
  const AdapterFolder folder(cases_, cases_.find("lora"));
  path base = folder.base();
  for (int i = 0; i < 9; ++i) {
    files("lora").write(folder.path() / fmt::format("on{}", i), base);
    base = folder.path() / fmt::format("on{}", i);
  }
  EXPECT_TELLS(states(base), "more than 8 adapters on one another");
}

// Its change would be made twice.
TEST_F(AdapterFolders, AnAdapterIsNotAppliedTwice) {
  const AdapterFolder folder(cases_, cases_.find("lora"));
  const path adapter = folder.adapters()[0], other = folder.path() / "." / "adapter0";
  EXPECT_TELLS(states(adapter, {.base = adapter}), "leads back to it");
  EXPECT_TELLS(states(adapter, {.base = other}), "leads back to it");
  EXPECT_TELLS(states(adapter, {.adapters = {other}}), "is applied already");
  EXPECT_TELLS(states(folder.base(), {.adapters = {adapter, other}}), "is applied already");
  test::fs::create_directory_symlink(adapter, folder.path() / "link");
  EXPECT_THROW(states(folder.base(), {.adapters = {adapter, folder.path() / "link"}}), std::invalid_argument);
  // One that lies with the weights of its base.
  files("lora").write(folder.base(), "/nowhere");
  EXPECT_TELLS(states(folder.base(), {.base = folder.base()}), "leads back to it");
  EXPECT_TELLS(states(folder.base(), {.adapters = {folder.base()}}), "is applied already");
}

// Pooling, prompts and tokenizer of the base hold for an adapter that says nothing of them.
TEST_F(AdapterFolders, ABaseMayBeASentenceTransformersFolder) {
  const AdapterFolder folder(cases_, cases_.find("lora"));
  Embedder base = Embedder::load(folder.base(), {.pooling = Pooling::last_token});
  base.prompts = {{"query", "find: "}};
  base.save(folder.path() / "base");
  files("lora").write(folder.adapters()[0], folder.path() / "base");
  const Embedder model = Embedder::load(folder.adapters()[0]);
  EXPECT_EQ(model.pooling, std::vector{Pooling::last_token});
  EXPECT_EQ(model.prompts, base.prompts);
  EXPECT_TRUE(states_of(model, cases_.families.sequences()).equal(expected("lora")));
}

// A folder with weights of its own is a whole model with an adapter, as transformers takes it.
TEST_F(AdapterFolders, AWholeModelMayHoldItsAdapter) {
  const AdapterFolder folder(cases_, cases_.find("lora"));
  files("lora").write(folder.base(), "/nowhere");
  EXPECT_TRUE(states(folder.base()).equal(expected("lora")));
}

// LLM2Vec's folders have a config.json, which says the mask, and no weights.
TEST_F(AdapterFolders, ItsOwnConfigAndTokenizerCount) {
  const AdapterFolder folder(cases_, cases_.find("lora"));
  const path adapter = folder.adapters()[0];
  Json config = read_json(folder.base() / "config.json");
  config["is_causal"] = false;
  write_json(adapter / "config.json", OrderedJson(config));
  test::fs::copy_file(folder.base() / "tokenizer.model", adapter / "tokenizer.model");
  write_json(adapter / "tokenizer_config.json",
             {{"tokenizer_class", "LlamaTokenizer"}, {"add_bos_token", false}, {"add_eos_token", true}});
  const Embedder model = Embedder::load(adapter, mean());
  EXPECT_EQ(model.transformer.config.attention, Attention::bidirectional);
  EXPECT_NE(model.rule.eos, EndOfText::none);
  EXPECT_EQ(Embedder::load(folder.base(), mean()).rule.eos, EndOfText::none);
}

// ---------------------------------------------------------------------------------------------------- saving

TEST_F(AdapterFolders, AreSavedAsTheyWereRead) {
  for (const Json& one : cases_.all.at("cases")) {
    if (one.at("adapters").size() > 1) continue;
    SCOPED_TRACE(one.at("name"));
    const AdapterFolder folder(cases_, one);
    const Embedder model = folder.load(/*merge=*/false);
    const path saved = folder.path() / "saved";
    model.save(saved);
    EXPECT_FALSE(test::fs::exists(saved / "config.json"));
    EXPECT_FALSE(test::fs::exists(saved / "model.safetensors"));
    // The same tensors, names included, as PEFT wrote; only magnitudes have the name that transformers knows.
    const TensorFiles written = TensorFiles::open(saved / "adapter_model.safetensors");
    const AdapterFiles files(one.at("adapters")[0]);
    EXPECT_EQ(written.names().size(), files.tensors.size());
    for (const auto& [name, tensor] : files.tensors) {
      const bool magnitude = name.ends_with("lora_magnitude_vector");
      EXPECT_TRUE(written.tensor(name + (magnitude ? ".weight" : "")).equal(tensor)) << name;
    }
    const Json config = read_json(saved / "adapter_config.json");
    for (const auto& [key, value] : config.items()) {
      if (key == "base_model_name_or_path") {
        EXPECT_EQ(value, folder.base().string());
      } else if (key == "layers_to_transform" && !value.is_null()) {
        EXPECT_EQ(value, files.config[key].is_array() ? files.config[key] : Json::array({files.config[key]}));
      } else if (key == "layers_pattern" && !value.is_null()) {
        EXPECT_EQ(value, Json::array({"layers"}));
      } else if (key != "inference_mode" && key != "fan_in_fan_out") {
        EXPECT_EQ(value, files.config[key]) << key;
      }
    }
    const Embedder again = Embedder::load(saved, {.merge_adapters = false});
    EXPECT_TRUE(
        states_of(again, cases_.families.sequences()).equal(states_of(model, cases_.families.sequences())));
    EXPECT_EQ(again.layout, FolderLayout::sentence_transformers);
  }
}

TEST_F(AdapterFolders, MergedModelsAreSavedWhole) {
  const AdapterFolder folder(cases_, cases_.find("stacked"));
  const path saved = folder.path() / "saved";
  folder.load(/*merge=*/true).save(saved);
  EXPECT_FALSE(test::fs::exists(saved / "adapter_config.json"));
  const Embedder again = Embedder::load(saved);
  EXPECT_TRUE(again.adapters.empty());
  EXPECT_TRUE(states_of(again, cases_.families.sequences()).equal(expected("stacked")));
}

// A mask that the base's config.json does not say is saved too.
TEST_F(AdapterFolders, TheMaskIsSavedWhereTheBaseSaysAnother) {
  const AdapterFolder folder(cases_, cases_.find("lora"));
  const Embedder model = folder.load(/*merge=*/false, {.attention = Attention::bidirectional});
  model.save(folder.path() / "saved");
  EXPECT_TRUE(states_of(Embedder::load(folder.path() / "saved", {.merge_adapters = false}),
                        cases_.families.sequences())
                  .equal(states_of(model, cases_.families.sequences())));
}

TEST_F(AdapterFolders, WhatNoFolderCanHoldIsNotSaved) {
  const AdapterFolder stacked(cases_, cases_.find("stacked"));
  EXPECT_THROW(stacked.load(/*merge=*/false).save(stacked.path() / "saved"), std::invalid_argument);
  EXPECT_FALSE(test::fs::exists(stacked.path() / "saved"));
  const AdapterFolder whole(cases_, cases_.find("lora"));
  files("lora").write(whole.base(), "/nowhere");
  EXPECT_THROW(Embedder::load(whole.base(), mean({.merge_adapters = false})).save(whole.path() / "saved"),
               std::invalid_argument);
  Embedder latent = AdapterFolder(cases_, cases_.find("lora")).load(/*merge=*/false);
  latent.pooling = {Pooling::latent_attention};
  latent.latents = empty_latent_attention({.latents = 2, .heads = 1, .head_dim = 4, .latent_dim = 4}, 32,
                                          at::kFloat, at::kCPU);
  EXPECT_THROW(latent.save(whole.path() / "latent"), std::invalid_argument);
}

// What PEFT, transformers and sentence-transformers make of saved folders: check_adapter_folders.py.
TEST_F(AdapterFolders, PeftGivesTheSameStates) {
  const char* python = std::getenv("DECOVEC_REFERENCE_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "DECOVEC_REFERENCE_PYTHON names no Python with peft";
  const test::TemporaryFolder folder;
  std::vector<std::unique_ptr<AdapterFolder>> kept;  // the bases
  for (const Json& one : cases_.all.at("cases")) {
    if (one.at("adapters").size() > 1) continue;
    kept.push_back(std::make_unique<AdapterFolder>(cases_, one));
    kept.back()->load(/*merge=*/false).save(folder.path() / one.at("name").get<std::string>());
  }
  const std::string script = (test::test_data().parent_path() / "model/check_adapter_folders.py").string();
  const path output = folder.path() / "output";
  const std::string command =
      fmt::format("HF_HUB_OFFLINE=1 '{}' '{}' '{}' '{}' > '{}' 2>&1", python, script, folder.path().string(),
                  test::test_data().string(), output.string());
  EXPECT_EQ(std::system(command.c_str()), 0) << read_file(output);
}

}  // namespace
}  // namespace decovec
