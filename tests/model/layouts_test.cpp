// Published embedders load from their own folders with no option (tests/data/layouts_reference.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "decovec/model/embedder.hpp"
#include "model/furthest.hpp"
#include "model/layout_folder.hpp"
#include "model/reference_python.hpp"

namespace decovec {
namespace {

using test::furthest;
using test::encode_options;
using test::LayoutCases;
using test::LayoutFolder;
using testing::AllOf;
using testing::HasSubstr;

constexpr double kTolerance = 1e-5;

// Prints the figures of docs/models.md.
TEST(Layouts, VectorsEqualTheReference) {
  at::set_num_threads(1);
  const LayoutCases cases;
  const std::vector<std::string> texts = cases.texts();
  for (const Json& one : cases.all.at("cases")) {
    const auto name = one.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const LayoutFolder folder(one);
    double largest = 0;
    for (size_t i = 0; i < one.at("calls").size(); ++i) {
      const Json& call = one.at("calls")[i];
      const Embedder model = Embedder::load(folder.path(), {.dense = call.value("dense", "")});
      const at::Tensor expected = cases.expected(one, i);
      EXPECT_EQ(model.dimensions(), expected.size(1));
      const at::Tensor together = model.encode(texts, encode_options(call));
      const double difference = furthest(together, expected);
      EXPECT_LE(difference, kTolerance) << call;
      largest = std::max(largest, difference);
      for (size_t t = 0; t < texts.size(); ++t) {
        const at::Tensor alone = model.encode({texts[t]}, encode_options(call))[0];
        EXPECT_TRUE(alone.equal(together[static_cast<int64_t>(t)])) << texts[t];
      }
    }
    std::printf("%-24s%.1e\n", name.c_str(), largest);
  }
}

// What decovec saves of them is the same embedder still, and is saved again byte for byte.
TEST(Layouts, SavedTheyGiveTheSameVectors) {
  const LayoutCases cases;
  const std::vector<std::string> texts = cases.texts();
  for (const Json& one : cases.all.at("cases")) {
    SCOPED_TRACE(one.at("name"));
    const LayoutFolder folder(one);
    Embedder::load(folder.path()).save(folder.path() / "first");
    const Embedder model = Embedder::load(folder.path() / "first");
    for (size_t i = 0; i < one.at("calls").size(); ++i) {
      const Json& call = one.at("calls")[i];
      if (call.contains("dense")) continue;  // a choice of the one who loads
      EXPECT_LE(furthest(model.encode(texts, encode_options(call)), cases.expected(one, i)), kTolerance)
          << call;
    }
    model.save(folder.path() / "second");
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path() / "first")) {
      if (!entry.is_regular_file()) continue;
      const auto place = std::filesystem::relative(entry.path(), folder.path() / "first");
      EXPECT_EQ(read_file(entry.path()), read_file(folder.path() / "second" / place)) << place;
    }
  }
}

// What is put around every text is unknown to sentence-transformers: LLM2Vec is left out.
TEST(Layouts, SentenceTransformersReadsWhatIsSaved) {
  if (test::reference_python() == nullptr) GTEST_SKIP() << test::kNoReferencePython;
  const LayoutCases cases;
  test::SavedFolders folders;
  for (const Json& one : cases.all.at("cases")) {
    const auto name = one.at("name").get<std::string>();
    const Embedder model = Embedder::load(LayoutFolder(one).path());
    if (model.rule.instruction == InstructionPooling::llm2vec) continue;
    std::vector<std::string> texts = cases.texts();
    const bool bare = !model.rule.bos && model.rule.eos == EndOfText::none;
    if (bare) std::erase(texts, "");  // transformers runs no empty sequence
    std::vector<Json> prompts = {Json()};
    for (const Json& call : one.at("calls"))
      if (call.contains("prompt") && !call.contains("dense")) prompts.push_back(call.at("prompt"));
    folders.add(name, model, texts, prompts);
  }
  folders.compare();
}

TEST(Layouts, TheyAreRecognised) {
  const LayoutCases cases;
  const auto load = [&](const std::string& name) {
    return Embedder::load(LayoutFolder(cases.find(name)).path());
  };
  const Embedder grit = load("gritlm");
  EXPECT_EQ(grit.layout, FolderLayout::known_embedder);
  EXPECT_EQ(grit.transformer.config.attention, Attention::bidirectional);
  EXPECT_EQ(grit.prompt(grit.default_prompt), "<|embed|>\n");
  EXPECT_EQ(grit.rule.max_length, 512);
  const Embedder llm = load("llm2vec_llama3");
  EXPECT_EQ(llm.rule.instruction, InstructionPooling::llm2vec);
  EXPECT_TRUE(llm.heads.empty());
  EXPECT_EQ(llm.rule.after, "<|eot_id|>");
  EXPECT_EQ(load("nv_embedqa_last").pooling, std::vector{Pooling::last_token});
  EXPECT_EQ(load("nv_embedqa_last").rule.max_length, 131072);
  for (const char* name : {"e5_mistral", "gte_qwen2", "qwen3_embedding", "embeddinggemma"}) {
    const Embedder model = load(name);
    EXPECT_EQ(model.layout, FolderLayout::sentence_transformers);
    EXPECT_EQ(model.rule.eos, EndOfText::kept) << name;
  }
}

std::string refusal(const LayoutFolder& folder, const LoadOptions& options = {}) {
  try {
    Embedder::load(folder.path(), options);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "loaded";
}

TEST(Layouts, WhatTheySayThatDecovecDoesNotHaveRefuses) {
  const LayoutCases cases;
  const auto with = [&](const std::string& name, const std::string& file, const std::string& key,
                        const Json& value, const LoadOptions& options = {}) {
    const LayoutFolder folder(cases.find(name));
    if (!std::filesystem::exists(folder.path() / file))
      write_json(folder.path() / file, OrderedJson::object());
    folder.set(file, key, value);
    return refusal(folder, options);
  };
  EXPECT_THAT(with("nv_embedqa", "config.json", "pooling", "weighted_avg"),
              AllOf(HasSubstr("'pooling'"), HasSubstr("weighted_avg"), HasSubstr("--pooling")));
  EXPECT_EQ(with("nv_embedqa", "config.json", "pooling", "weighted_avg", {.pooling = Pooling::mean}),
            "loaded");
  EXPECT_EQ(with("nv_embedqa", "config.json", "use_bidirectional_attention", true), "loaded");
  EXPECT_THAT(with("nv_embedqa", "config.json", "is_causal", true), HasSubstr("--attention"));
  const char* own = "llm2vec_config.json";
  EXPECT_THAT(with("llm2vec_base", own, "pooling_mode", "weighted_mean"),
              AllOf(HasSubstr("'pooling_mode'"), HasSubstr("weighted_mean"), HasSubstr("--pooling")));
  EXPECT_THAT(with("llm2vec_base", own, "max_length", 0), HasSubstr("'max_length'"));
  EXPECT_THAT(with("llm2vec_base", own, "skip_instructions", true), HasSubstr("'skip_instructions'"));
  EXPECT_THAT(with("gte_qwen2", "config.json", "is_causal", true), HasSubstr("--attention"));
  const Json remote = {{"AutoModel", "modeling_new.NewModel"}};
  EXPECT_THAT(with("kalm_v1", "config.json", "auto_map", remote),
              AllOf(HasSubstr("modeling_new.py"), HasSubstr("--attention")));
  const Json settings = {{"text_before", 3}};
  EXPECT_THAT(with("kalm_v1", "config_sentence_transformers.json", "decovec", settings),
              HasSubstr("'text_before'"));
}

TEST(Layouts, TheCallerChoosesAmongDenses) {
  const LayoutCases cases;
  const LayoutFolder stella(cases.find("stella"));
  EXPECT_EQ(Embedder::load(stella.path()).dimensions(), 24);
  EXPECT_EQ(Embedder::load(stella.path(), {.dense = "2_Dense_40"}).dimensions(), 40);
  EXPECT_THAT(refusal(stella, {.dense = "2_Dense_41"}),
              AllOf(HasSubstr("--dense"), HasSubstr("2_Dense_24"), HasSubstr("2_Dense_40")));
  EXPECT_THAT(refusal(stella, {.dense = "../2_Dense_24"}), HasSubstr("--dense"));
  for (const char* name : {"embeddinggemma", "qwen3_embedding", "gritlm"})
    EXPECT_THAT(refusal(LayoutFolder(cases.find(name)), {.dense = "2_Dense"}), HasSubstr("--dense")) << name;
}

TEST(Layouts, Llm2VecsOwnFileDecides) {
  const LayoutCases cases;
  const LayoutFolder folder(cases.find("llm2vec_mistral"));
  folder.set("llm2vec_config.json", "pooling_mode", "last_token");
  folder.set("llm2vec_config.json", "max_length", 77);
  const Embedder model = Embedder::load(folder.path());
  EXPECT_EQ(model.rule.instruction, InstructionPooling::llm2vec);
  EXPECT_EQ(model.pooling, std::vector{Pooling::last_token});
  EXPECT_EQ(model.rule.max_length, 77);
  EXPECT_EQ(model.transformer.config.attention, Attention::bidirectional);
  folder.set("llm2vec_config.json", "skip_instruction", false);
  EXPECT_THAT(refusal(folder), HasSubstr("'skip_instruction'"));
}

}  // namespace
}  // namespace decovec
