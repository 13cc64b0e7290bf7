// Folders of sentence-transformers, versions 2 to 6: pooling modes, Dense, truncation, lengths, subfolders.
// Its own vectors are the reference (tests/data/folders_reference.py).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "decovec/model/embedder.hpp"
#include "io/file.hpp"
#include "model/furthest.hpp"
#include "model/model_folder.hpp"

namespace decovec {
namespace {

using test::folder_case;
using test::folder_cases;
using test::folder_vectors;
using test::ModelFolder;
using test::test_data;
using testing::AllOf;
using testing::HasSubstr;

const std::vector<std::string>& texts() {
  static const auto list = test::cases("texts").get<std::vector<std::string>>();
  return list;
}

EncodeOptions options_of(const Json& one) {
  EncodeOptions options{.max_length = one.at("max_length").get<int64_t>(), .truncate = Truncate::right};
  if (!one.at("prompt").is_null()) options.prompt = one.at("prompt").get<std::string>();
  return options;
}

// Of vectors that are not normalised, relative to their size.
double furthest(const at::Tensor& got, const at::Tensor& expected) {
  return test::furthest(got, expected) / std::max(1.0, expected.abs().max().item<double>());
}

constexpr double kTolerance = 1e-5;

TEST(Folders, VectorsEqualSentenceTransformers) {
  // Bits of attention with heads of 8 columns, which no real model has, depend on the thread that computes
  // them.
  at::set_num_threads(1);
  const TensorFiles vectors = folder_vectors();
  for (const Json& one : folder_cases()) {
    const auto name = one.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const ModelFolder folder(one, test_data());
    const Embedder model = Embedder::load(folder.path());
    EXPECT_EQ(model.layout, FolderLayout::sentence_transformers);
    EXPECT_EQ(model.rule.max_length, one.at("folder_max_length").get<int64_t>());
    const at::Tensor expected = vectors.tensor(name);
    EXPECT_EQ(model.dimensions(), expected.size(1));
    const at::Tensor together = model.encode(texts(), options_of(one));
    EXPECT_LE(furthest(together, expected), kTolerance);
    for (size_t i = 0; i < texts().size(); ++i) {
      EXPECT_TRUE(model.encode({texts()[i]}, options_of(one))[0].equal(together[static_cast<int64_t>(i)]))
          << texts()[i];
    }
  }
}

TEST(Folders, SavedAgainTheyGiveTheSameVectorsAndBytes) {
  for (const Json& one : folder_cases()) {
    const auto name = one.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const ModelFolder folder(one, test_data());
    const Embedder model = Embedder::load(folder.path());
    model.save(folder.path() / "first");
    const Embedder again = Embedder::load(folder.path() / "first");
    EXPECT_TRUE(again.encode(texts(), options_of(one)).equal(model.encode(texts(), options_of(one))));
    EXPECT_EQ(again.prompts, model.prompts);
    EXPECT_EQ(again.default_prompt, model.default_prompt);
    EXPECT_EQ(again.similarity_fn, model.similarity_fn);
    again.save(folder.path() / "second");
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path() / "first")) {
      const auto place = std::filesystem::relative(entry.path(), folder.path() / "first");
      const auto twin = folder.path() / "second" / place;
      ASSERT_TRUE(std::filesystem::exists(twin)) << place;
      if (entry.is_regular_file()) {
        EXPECT_EQ(read_file(entry.path()), read_file(twin)) << place;
      }
    }
  }
}

TEST(Folders, WhatTheySayIsRead) {
  const auto load = [](const std::string& name) {
    const ModelFolder folder(folder_case(name), test_data());
    return Embedder::load(folder.path());
  };
  using enum Pooling;
  EXPECT_EQ(load("every_flag").pooling,
            (std::vector{cls, max, mean, mean_sqrt_len, weighted_mean, last_token}));
  EXPECT_EQ(load("modes_in_their_own_order").pooling, (std::vector{last_token, weighted_mean, cls}));
  EXPECT_EQ(std::get<Dense>(load("dense").heads.at(0)).activation, "Tanh");
  const Embedder truncated = load("truncated");
  EXPECT_EQ(truncated.default_prompt, "query");
  EXPECT_EQ(truncated.prompt("document"), "");
  EXPECT_EQ(truncated.similarity_fn, "dot");
  EXPECT_EQ(std::get<Truncation>(truncated.heads.back()).dimensions, 10);
  EXPECT_EQ(load("two_bare_dense").parameters().back().name, "3_Dense/linear.weight");
}

// A finished embedder keeps EOS and BOS as it was trained, also where its pooling becomes another.
TEST(Folders, AnotherPoolingKeepsTheRule) {
  for (const Pooling pooling : all_poolings()) {
    const ModelFolder folder(folder_case("mean_tokens"), test_data());
    ASSERT_EQ(Embedder::load(folder.path()).rule.eos, EndOfText::none);
    EXPECT_EQ(Embedder::load(folder.path(), {.pooling = pooling}).rule.eos, EndOfText::none);
    EXPECT_NE(Embedder::load(folder.path(), {.pooling = pooling, .eos = true}).rule.eos, EndOfText::none);
  }
  const ModelFolder ends(test::find_case("vectors", "st_last"));
  ASSERT_EQ(Embedder::load(ends.path()).rule.eos, EndOfText::kept);
  EXPECT_EQ(Embedder::load(ends.path(), {.pooling = Pooling::mean}).rule.eos, EndOfText::kept);
  const ModelFolder plain(test::find_case("states", "v5"));
  EXPECT_EQ(Embedder::load(plain.path(), {.pooling = Pooling::mean}).rule.eos, EndOfText::none);
  EXPECT_EQ(Embedder::load(plain.path(), {.pooling = Pooling::last_token}).rule.eos, EndOfText::kept);
}

// The first columns, divided by their norm.
TEST(Folders, DimensionsCutAndNormaliseAgain) {
  for (const char* name : {"residuals", "mean_tokens"}) {
    const ModelFolder folder(folder_case(name), test_data());
    const Embedder model = Embedder::load(folder.path(), {.max_length = 512});
    const at::Tensor whole = model.encode(texts());
    for (int64_t dimensions : {int64_t{1}, int64_t{7}, model.dimensions()}) {
      const at::Tensor cut = model.encode(texts(), {.dimensions = dimensions});
      EXPECT_EQ(cut.sizes(), at::IntArrayRef({whole.size(0), dimensions}));
      for (int64_t row = 0; row < whole.size(0); ++row) {
        double sum = 0;
        for (int64_t column = 0; column < dimensions; ++column)
          sum += std::pow(whole[row][column].item<double>(), 2);
        for (int64_t column = 0; column < dimensions; ++column)
          EXPECT_NEAR(cut[row][column].item<double>(), whole[row][column].item<double>() / std::sqrt(sum),
                      1e-6);
      }
    }
    EXPECT_THROW(model.encode(texts(), {.dimensions = model.dimensions() + 1}), std::invalid_argument);
    EXPECT_THROW(model.encode(texts(), {.dimensions = -1}), std::invalid_argument);
  }
}

std::string refusal(const std::string& name, const std::string& file, const std::string& key,
                    const Json& value, const LoadOptions& options = {}) {
  const ModelFolder folder(folder_case(name), test_data());
  std::filesystem::create_directories((folder.path() / file).parent_path());
  if (!std::filesystem::exists(folder.path() / file)) write_json(folder.path() / file, OrderedJson::object());
  folder.set(file, key, value);
  try {
    Embedder::load(folder.path(), options);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "loaded";
}

TEST(RefusedFolders, ModulesAndTheirKeys) {
  const auto with = [](const std::string& file, const std::string& key, const Json& value) {
    return refusal("residuals", file, key, value);
  };
  const std::string package = "sentence_transformers.models.";
  for (const char* kind : {"LSTM", "CNN", "LayerNorm", "Dropout", "Router", "Asym", "Transformer", "Pooling"})
    EXPECT_THAT(with("modules.json", "2/type", package + kind),
                AllOf(HasSubstr("module 2"), HasSubstr(kind)));
  EXPECT_THAT(with("modules.json", "0/type", "custom_st.Transformer"), HasSubstr("custom_st.Transformer"));
  EXPECT_THAT(with("modules.json", "0/kwargs", {"task"}), AllOf(HasSubstr("kwargs"), HasSubstr("task")));
  EXPECT_THAT(with("modules.json", "3/idx", 2),
              AllOf(HasSubstr("module 3"), HasSubstr("'idx': 2 is another")));
  EXPECT_THAT(with("modules.json", "2/name", "1"), AllOf(HasSubstr("module 2"), HasSubstr("'name'")));
  EXPECT_THAT(with("modules.json", "2/path", std::string("2_Dense\0x", 9)), HasSubstr("2_Dense\\u0000x"));
  for (const char* path : {"../2_Dense", "/2_Dense", "a/../../b"})
    EXPECT_THAT(with("modules.json", "2/path", path), HasSubstr("'path'"));
  EXPECT_THAT(with("modules.json", "2/path", "3_Dense"), HasSubstr("Dense: weight"));

  const std::string pooling = "1_Pooling/config.json";
  EXPECT_THAT(with(pooling, "pooling_mode", "median"), AllOf(HasSubstr("median"), HasSubstr("weightedmean")));
  EXPECT_THAT(with(pooling, "pooling_mode", {1}), HasSubstr("'pooling_mode'"));
  EXPECT_THAT(with(pooling, "pooling_mode", Json::array()), HasSubstr("'pooling_mode'"));
  EXPECT_THAT(with(pooling, "pooling_mode_mean_tokens", "yes"), HasSubstr("'pooling_mode_mean_tokens'"));
  EXPECT_THAT(with(pooling, "pooling_mode_median", true), HasSubstr("'pooling_mode_median'"));
  EXPECT_THAT(with(pooling, "word_embedding_dimension", 64),
              AllOf(HasSubstr("'word_embedding_dimension'"), HasSubstr("hidden_size 32, got 64")));
  EXPECT_THAT(with(pooling, "embedding_dimension", 31), HasSubstr("got 31"));

  const std::string dense = "2_Dense/config.json";
  EXPECT_THAT(with(dense, "activation_function", "my.Tanh"), HasSubstr("my.Tanh"));
  EXPECT_THAT(with(dense, "activation_function", "torch.nn.modules.activation.Softmax"),
              HasSubstr("Softmax"));
  EXPECT_THAT(with(dense, "activation_function", nullptr), HasSubstr("'activation_function'"));
  EXPECT_THAT(with(dense, "module_input_name", "token_embeddings"), HasSubstr("token_embeddings"));
  EXPECT_THAT(with(dense, "pruned", true), HasSubstr("'pruned'"));
  EXPECT_THAT(with(dense, "in_features", 31), AllOf(HasSubstr("linear.weight"), HasSubstr("[40, 31]")));
  EXPECT_THAT(with(dense, "out_features", 41), AllOf(HasSubstr("linear.weight"), HasSubstr("[41, 32]")));
  EXPECT_THAT(with(dense, "bias", false), HasSubstr("'linear.bias'"));
  EXPECT_THAT(with(dense, "use_residual", false), HasSubstr("'residual.weight'"));
  EXPECT_THAT(with(dense, "in_features", -5), HasSubstr("'in_features'"));
  EXPECT_THAT(with("4_Normalize/config.json", "module_input_name", "token_embeddings"),
              HasSubstr("token_embeddings"));
}

TEST(RefusedFolders, SettingsThatChangeVectors) {
  const auto with = [](const std::string& key, const Json& value) {
    return refusal("mean_tokens", "sentence_bert_config.json", key, value);
  };
  EXPECT_THAT(with("do_lower_case", true), HasSubstr("'do_lower_case'"));
  EXPECT_THAT(with("transformer_task", "fill-mask"), HasSubstr("fill-mask"));
  EXPECT_THAT(with("module_output_name", "sentence_embedding"), HasSubstr("'module_output_name'"));
  EXPECT_THAT(with("processing_kwargs", {{"text", {{"max_length", 3}}}}), HasSubstr("'processing_kwargs'"));
  EXPECT_THAT(with("query_length", 3), HasSubstr("'query_length'"));
  const Json forward = {{"method", "forward"}, {"method_output_name", "last_hidden_state"}};
  EXPECT_THAT(with("modality_config", {{"text", forward}, {"message", forward}}), HasSubstr("'message'"));
  EXPECT_THAT(with("modality_config", {{"text", {{"method", "forward"}, {"method_output_name", "logits"}}}}),
              HasSubstr("logits"));
  EXPECT_THAT(with("modality_config", {{"text", {{"method_output_name", {"hidden_states", -2}}}}}),
              HasSubstr("hidden_states"));
  EXPECT_THAT(with("config_args", {{"rope_theta", 3}}), HasSubstr("'rope_theta'"));
  EXPECT_THAT(with("tokenizer_args", {{"add_eos_token", true}}), HasSubstr("'add_eos_token'"));
  EXPECT_THAT(with("a_new_setting", 1), HasSubstr("'a_new_setting'"));
  EXPECT_THAT(with("max_seq_length", 0), HasSubstr("'max_seq_length'"));
  EXPECT_EQ(with("model_args", {{"attn_implementation", "sdpa"}, {"trust_remote_code", true}}), "loaded");
  EXPECT_EQ(with("unpad_inputs", true), "loaded");

  const auto model = [](const std::string& key, const Json& value) {
    return refusal("truncated", "config_sentence_transformers.json", key, value);
  };
  EXPECT_THAT(model("model_type", "SparseEncoder"), HasSubstr("SparseEncoder"));
  EXPECT_THAT(model("similarity_fn_name", "maxsim"), HasSubstr("maxsim"));
  EXPECT_THAT(model("truncate_dim", 0), HasSubstr("'truncate_dim'"));
  EXPECT_THAT(model("prompts", {{"query", 3}}), HasSubstr("'query'"));
}

TEST(RefusedFolders, ADenseThatDoesNotFit) {
  EXPECT_THAT(refusal("dense_of_two_poolings", "modules.json", "1/name", "1", {.pooling = Pooling::mean}),
              AllOf(HasSubstr("[out, 32]"), HasSubstr("[26, 64]")));
}

TEST(Folders, DtypesOfTheCallerAndTheFolder) {
  const ModelFolder folder(folder_case("residuals"), test_data());
  const Embedder half = Embedder::load(folder.path(), {.dtype = at::kBFloat16});
  for (const Parameter& parameter : half.parameters())
    EXPECT_EQ(parameter.holder.scalar_type(), at::kBFloat16) << parameter.name;
  folder.set("sentence_bert_config.json", "model_kwargs", {{"torch_dtype", "torch.bfloat16"}});
  EXPECT_EQ(Embedder::load(folder.path()).dtype(), at::kBFloat16);
}

}  // namespace
}  // namespace decovec
