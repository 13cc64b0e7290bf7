// What Embedder::save writes: read back by decovec, and by sentence-transformers where a Python is named.
#include <fstream>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "decovec/model/embedder.hpp"
#include "io/file.hpp"
#include "model/model_folder.hpp"
#include "model/reference_python.hpp"

namespace decovec {
namespace {

using std::filesystem::path;
using test::cases;
using test::find_case;
using test::ModelFolder;
using test::TemporaryFolder;

// A small random model; large enough weights that mask, positions and pooling matter.
Embedder small_model(Pooling pooling, Attention attention, std::optional<bool> eos = std::nullopt,
                     std::optional<int64_t> window = std::nullopt) {
  ModelConfig config;
  config.vocab_size = 810;  // more than the tokenizer has
  config.hidden_size = 32;
  config.intermediate_size = 48;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 12;
  config.rope.theta = 300;
  config.norm_epsilon = 2e-5;
  config.max_positions = 128;
  config.sliding_window = window;
  const auto tokenizer = Tokenizer::from_sentencepiece(test::test_data() / "tokenizer/tokenizer.model");
  LoadOptions options;
  options.attention = attention;
  options.pooling = pooling;
  options.eos = eos;
  options.max_length = 48;
  options.latent_attention = {.latents = 5, .heads = 2, .head_dim = 8, .latent_dim = 24, .multiplier = 2};
  Embedder model = Embedder::create(config, tokenizer, options);
  for (const Parameter& parameter : decovec::parameters(model.transformer)) {
    if (parameter.shape().size() == 2) parameter.value().mul_(8);
  }
  model.prompts = {{"query", "Instruct: Given a word, find its meaning.\nQuery: "}, {"document", ""}};
  return model;
}

std::map<std::string, std::string> files_of(const path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file())
      files[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
  }
  return files;
}

const std::vector<std::string>& texts() {
  static const auto list = cases("texts").get<std::vector<std::string>>();
  return list;
}

EncodeOptions with_prompt(std::optional<std::string> prompt) {
  return {.prompt = std::move(prompt), .truncate = Truncate::right};
}

struct NamedModel {
  std::string name;
  Embedder model;
};

// Models that become sentence-transformers folders.
std::vector<NamedModel> models() {
  std::vector<NamedModel> list = {
      {"mean, bidirectional", small_model(Pooling::mean, Attention::bidirectional)},
      {"mean, causal, window, EOS", small_model(Pooling::mean, Attention::causal, true, 4)},
      {"mean, bidirectional, window, instruction not pooled, not normalised",
       small_model(Pooling::mean, Attention::bidirectional, std::nullopt, 3)},
      {"last token, causal", small_model(Pooling::last_token, Attention::causal)},
      {"last token, bidirectional, default prompt",
       small_model(Pooling::last_token, Attention::bidirectional)},
  };
  list.push_back(
      {"two poolings, Dense twice, truncated", small_model(Pooling::mean, Attention::bidirectional)});
  list.push_back(
      {"poolings in an order that flags cannot say", small_model(Pooling::mean, Attention::causal)});
  Embedder& dense = list[5].model;
  dense.pooling = {Pooling::max, Pooling::weighted_mean};
  const auto random = [](const char* name, std::vector<int64_t> shape) {
    return random_normal(RandomKey(9).with(name), shape, 0.2);
  };
  dense.heads = {Dense{.activation = "GELU",
                       .weight = random("first", {48, 64}),
                       .bias = random("bias", {48}),
                       .use_residual = true,
                       .residual = random("residual", {48, 64})},
                 Dense{.activation = "Identity", .weight = random("second", {24, 48})}, Normalize{},
                 Truncation{16}};
  dense.similarity_fn = "dot";
  list[6].model.pooling = {Pooling::last_token, Pooling::cls, Pooling::mean_sqrt_len};
  list[2].model.rule.instruction = InstructionPooling::sentence_transformers;
  list[2].model.heads.clear();
  list[4].model.default_prompt = "query";
  return list;
}

TEST(SavedFolder, LoadsAsItWasAndSavesTheSameBytes) {
  std::vector<NamedModel> all = models();
  all.push_back({"latent attention", small_model(Pooling::latent_attention, Attention::bidirectional)});
  all.push_back({"latent attention, causal", small_model(Pooling::latent_attention, Attention::causal)});
  for (const auto& [name, model] : all) {
    SCOPED_TRACE(name);
    const TemporaryFolder folder;
    model.save(folder.path() / "first");
    const Embedder again = Embedder::load(folder.path() / "first");
    const EncodeOptions options = with_prompt(model.prompt("query"));
    EXPECT_TRUE(again.encode(texts(), options).equal(model.encode(texts(), options)));
    EXPECT_EQ(again.prompts, model.prompts);
    EXPECT_EQ(again.default_prompt, model.default_prompt);
    EXPECT_EQ(again.rule.max_length, model.rule.max_length);
    EXPECT_EQ(again.rule.eos, model.rule.eos);
    EXPECT_EQ(again.rule.instruction, model.rule.instruction);
    EXPECT_EQ(again.heads.size(), model.heads.size());
    EXPECT_EQ(again.pooling, model.pooling);
    again.save(folder.path() / "second");
    EXPECT_EQ(files_of(folder.path() / "first"), files_of(folder.path() / "second"));
  }
}

// Every reference folder, read and written, is the same model still.
TEST(SavedFolder, KeepsWhatReferenceFoldersMean) {
  const TensorFiles expected = test::expected_values();
  for (const Json& one : cases("vectors")) {
    const auto name = one.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const ModelFolder folder(one);
    Embedder::load(folder.path()).save(folder.path() / "saved");
    const Embedder model = Embedder::load(folder.path() / "saved");
    EncodeOptions options = with_prompt(std::nullopt);
    options.max_length = one.at("max_length").get<int64_t>();
    if (!one.at("prompt").is_null()) options.prompt = one.at("prompt").get<std::string>();
    const at::Tensor difference = model.encode(texts(), options) - expected.tensor("vectors." + name);
    EXPECT_LE(difference.abs().max().item<double>(), 1e-5);
  }
}

TEST(SavedFolder, AnNvEmbedFolderThatBecomesAMeanPoolerIsAMistralFolder) {
  const ModelFolder folder(find_case("vectors", "nv_odd_queries"));
  Embedder::load(folder.path(), {.pooling = Pooling::mean}).save(folder.path() / "saved");
  EXPECT_EQ(read_json(folder.path() / "saved/config.json").at("model_type"), "mistral");
}

TEST(SavedFolder, TheDtypeOfTheFilesIsTheCallers) {
  const TemporaryFolder folder;
  small_model(Pooling::mean, Attention::bidirectional).save(folder.path() / "saved", at::kBFloat16);
  const TensorFiles files = TensorFiles::open(folder.path() / "saved");
  for (const std::string& name : files.names())
    EXPECT_EQ(files.tensor(name).scalar_type(), at::kBFloat16) << name;
  EXPECT_EQ(read_json(folder.path() / "saved/config.json").at("dtype"), "bfloat16");
  EXPECT_EQ(Embedder::load(folder.path() / "saved").dtype(), at::kBFloat16);
}

// The defaults of a family's class in transformers may lie outside of the vocabulary.
TEST(SavedFolder, TheConfigNamesTheTokenizersSpecialTokens) {
  for (const Pooling pooling : {Pooling::mean, Pooling::latent_attention}) {
    const TemporaryFolder folder;
    small_model(pooling, Attention::bidirectional).save(folder.path() / "saved");
    Json config = read_json(folder.path() / "saved/config.json");
    if (pooling == Pooling::latent_attention) config = Json(config.at("text_config"));
    EXPECT_EQ(config.at("bos_token_id"), 1);
    EXPECT_EQ(config.at("eos_token_id"), 2);
    EXPECT_TRUE(config.at("pad_token_id").is_null());
  }
}

TEST(SavedFolder, AnExistingFolderStays) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "saved");
  write_file(folder.path() / "saved/note", "mine");
  EXPECT_THROW(small_model(Pooling::mean, Attention::causal).save(folder.path() / "saved"),
               std::runtime_error);
  EXPECT_EQ(files_of(folder.path()), (std::map<std::string, std::string>{{"saved/note", "mine"}}));
}

TEST(SavedFolder, SentenceTransformersGivesTheSameVectors) {
  if (test::reference_python() == nullptr) GTEST_SKIP() << test::kNoReferencePython;
  test::SavedFolders folders;
  for (const auto& [name, model] : models())
    folders.add(name, model, texts(), {Json(), Json(""), Json(model.prompt("query"))});
  folders.compare();
}

}  // namespace
}  // namespace decovec
