// What a folder says that decovec does not know, or says wrongly, is refused by name.
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "decovec/model/embedder.hpp"
#include "io/file.hpp"
#include "model/model_folder.hpp"

namespace decovec {
namespace {

using std::filesystem::path;
using test::find_case;
using test::ModelFolder;
using testing::AllOf;
using testing::HasSubstr;

using Edit = std::function<void(const ModelFolder&)>;

// The message of a load that must fail as a broken folder does (std::runtime_error).
std::string refusal(const std::string& list, const std::string& name, const Edit& edit,
                    LoadOptions options = {}) {
  const ModelFolder folder(find_case(list, name));
  edit(folder);
  try {
    Embedder::load(folder.path(), options);
  } catch (const std::runtime_error& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("not a std::runtime_error: ") + error.what();
  }
  return "loaded";
}

std::string refusal(const std::string& key, const Json& value, const std::string& name = "v5") {
  return refusal("states", name, [&](const ModelFolder& folder) { folder.set("config.json", key, value); },
                 {.pooling = Pooling::mean});
}

TEST(RefusedFolder, APlainDecoderWithoutPooling) {
  EXPECT_THAT(refusal("states", "v5", [](const ModelFolder&) {}),
              AllOf(HasSubstr("--pooling"), HasSubstr("LoadOptions::pooling")));
  for (const Pooling pooling : all_poolings())
    EXPECT_THAT(refusal("states", "v5", [](const ModelFolder&) {}), HasSubstr(name_of(pooling)));
}

TEST(RefusedFolder, UnknownArchitectureRopeAndActivation) {
  EXPECT_THAT(refusal("model_type", "bert"),
              AllOf(HasSubstr("config.json"), HasSubstr("model_type"), HasSubstr("bert")));
  EXPECT_THAT(refusal("model_type", "bert"), HasSubstr("gemma3 or nvembed"));
  EXPECT_THAT(refusal("hidden_act", "quick_gelu"), AllOf(HasSubstr("hidden_act"), HasSubstr("quick_gelu")));
  EXPECT_THAT(refusal("dtype", "float8_e4m3fn"), AllOf(HasSubstr("dtype"), HasSubstr("float8_e4m3fn")));
  EXPECT_THAT(refusal("quantization_config", {{"bits", 4}}), HasSubstr("quantization_config"));
  const Json remote = {{"AutoModel", "someone/model--modeling_x.XModel"}};
  EXPECT_THAT(refusal("auto_map", remote),
              AllOf(HasSubstr("auto_map"), HasSubstr("modeling_x.py"), HasSubstr("--attention")));
  EXPECT_THAT(refusal("auto_map", Json{{"AutoModel", 3}}), HasSubstr("auto_map"));
  EXPECT_THAT(refusal("use_bidirectional_attention", true),
              AllOf(HasSubstr("use_bidirectional_attention"), HasSubstr("--attention")));
}

TEST(RefusedFolder, RopeThatItDoesNotKnow) {
  const auto with = [](const Json& rope) { return refusal("rope_scaling", rope, "v4_window"); };
  EXPECT_THAT(with({{"type", "mrope"}}),
              AllOf(HasSubstr("config.json"), HasSubstr("rope_scaling"), HasSubstr("mrope")));
  EXPECT_THAT(with({{"type", "linear"}, {"factor", 2.0}, {"mrope_section", {1, 1}}}),
              AllOf(HasSubstr("rope_scaling"), HasSubstr("mrope_section")));
  EXPECT_THAT(with({{"type", "linear"}}), AllOf(HasSubstr("rope_scaling"), HasSubstr("'factor' is missing")));
  EXPECT_THAT(with({{"type", "linear"}, {"factor", 0}}), HasSubstr("factor"));
  EXPECT_THAT(with({{"type", "yarn"}, {"factor", "4"}}), HasSubstr("factor"));
  EXPECT_THAT(with({{"type", "yarn"}, {"factor", 4}, {"beta_fast", -1}}), HasSubstr("beta_fast"));
  EXPECT_THAT(with({{"type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 0}}),
              HasSubstr("original_max_position_embeddings"));
  EXPECT_THAT(with({{"type", "llama3"}, {"factor", 8}, {"low_freq_factor", 1}}),
              HasSubstr("high_freq_factor"));
  EXPECT_THAT(with({{"type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}),
              HasSubstr("high_freq_factor"));
  EXPECT_THAT(with({{"type", "longrope"}, {"short_factor", {1, 2}}, {"long_factor", {1, 2, 3, 4}}}),
              HasSubstr("short_factor"));
  EXPECT_THAT(with({{"type", "longrope"}, {"short_factor", {1, 2, 3, 0}}, {"long_factor", {1, 2, 3, 4}}}),
              HasSubstr("short_factor"));
  EXPECT_THAT(with({{"type", "longrope"}, {"short_factor", {1, 2, 3, "4"}}, {"long_factor", {1, 2, 3, 4}}}),
              HasSubstr("short_factor"));
  EXPECT_THAT(refusal("partial_rotary_factor", 0.5), HasSubstr("partial_rotary_factor"));
}

// Whatever a config.json can spell, the model computes in float32.
TEST(RefusedFolder, NumbersThatFloat32CannotHold) {
  for (const double number : {1e300, 1e39, 1e-300}) {
    SCOPED_TRACE(number);
    EXPECT_THAT(refusal("rms_norm_eps", number), AllOf(HasSubstr("config.json"), HasSubstr("norm_epsilon")));
    const auto with = [&](Json rope, const char* key) {
      rope[key] = number;
      return refusal("rope_scaling", rope, "v4_window");
    };
    const auto said = [](const char* what) { return AllOf(HasSubstr("config.json"), HasSubstr(what)); };
    EXPECT_THAT(with({{"type", "default"}}, "rope_theta"), said("rope_theta"));
    EXPECT_THAT(with({{"type", "linear"}}, "factor"), said("rope factor"));
    EXPECT_THAT(with({{"type", "yarn"}, {"factor", 2}}, "attention_factor"), said("attention_factor"));
    EXPECT_THAT(with({{"type", "yarn"}, {"factor", 2}}, "beta_fast"), said("beta_fast"));
    EXPECT_THAT(with({{"type", "llama3"}, {"factor", 2}, {"high_freq_factor", 1e308}}, "low_freq_factor"),
                said("freq_factor"));
  }
  // Each may be right, but not all of them together.
  const auto finite = AllOf(HasSubstr("config.json"), HasSubstr("frequencies that are not finite"));
  EXPECT_THAT(refusal("rope_scaling", {{"type", "linear"}, {"factor", 1e-36}}, "v4_window"), finite);
  EXPECT_THAT(refusal("rope_scaling", {{"type", "dynamic"}, {"factor", 1e30}}, "v4_window"), finite);
  const Json scaled = {{"type", "yarn"}, {"factor", 2}, {"mscale", 1e300}, {"mscale_all_dim", 1}};
  EXPECT_THAT(refusal("rope_scaling", scaled, "v4_window"), finite);
}

TEST(RefusedFolder, RemoteCodeLoadsOnceTheMaskIsSaid) {
  const auto remote = [](const ModelFolder& folder) {
    folder.set("config.json", "auto_map", {{"AutoModel", "modeling_x.XModel"}});
  };
  EXPECT_EQ(refusal("states", "v5", remote, {.attention = Attention::causal, .pooling = Pooling::mean}),
            "loaded");
}

TEST(RefusedFolder, BrokenConfigs) {
  for (const char* key : {"hidden_size", "num_attention_heads", "num_key_value_heads", "vocab_size",
                          "num_hidden_layers", "intermediate_size", "head_dim", "sliding_window"}) {
    SCOPED_TRACE(key);
    for (const Json& value : {Json(0), Json(-1), Json("big"), Json(2.5), Json(int64_t{1} << 62)}) {
      EXPECT_THAT(refusal(key, value), AllOf(HasSubstr("config.json"), HasSubstr(key)));
    }
  }
  EXPECT_THAT(refusal("num_key_value_heads", 3), AllOf(HasSubstr("config.json"), HasSubstr("kv_heads")));
  EXPECT_THAT(refusal("head_dim", 7), AllOf(HasSubstr("config.json"), HasSubstr("head_dim")));
  EXPECT_THAT(refusal("rms_norm_eps", -1.0), HasSubstr("config.json"));
  EXPECT_THAT(refusal("model_type", nullptr), HasSubstr("model_type"));
  const auto written = [](const std::string& text) {
    return refusal("states", "v5",
                   [&](const ModelFolder& folder) { write_file(folder.path() / "config.json", text); });
  };
  EXPECT_THAT(written(""), HasSubstr("config.json"));
  EXPECT_THAT(written("[]"), HasSubstr("config.json"));
  EXPECT_THAT(written(R"({"model_type": "mis)"), HasSubstr("config.json"));
}

TEST(RefusedFolder, NoFolderAndMissingFiles) {
  EXPECT_THROW(Embedder::load("/nowhere/at all"), std::runtime_error);
  for (const char* file : {"config.json", "model.safetensors", "1_Pooling/config.json"}) {
    EXPECT_THAT(refusal("vectors", "st_mean",
                        [&](const ModelFolder& folder) { std::filesystem::remove(folder.path() / file); }),
                HasSubstr(path(file).filename().string()));
  }
  EXPECT_THAT(refusal("vectors", "st_mean",
                      [&](const ModelFolder& folder) {
                        std::filesystem::remove(folder.path() / "tokenizer.json");
                        std::filesystem::remove(folder.path() / "tokenizer.model");
                      }),
              HasSubstr("no tokenizer.json and no tokenizer.model"));
}

// The stored tensors of the folder, changed by `edit` and written again.
Edit tensors(const std::function<void(std::map<std::string, at::Tensor>&)>& edit) {
  return [edit](const ModelFolder& folder) {
    const path file = folder.path() / "model.safetensors";
    std::map<std::string, at::Tensor> stored;
    {
      const TensorFiles files = TensorFiles::open(file);
      for (const std::string& name : files.names()) stored[name] = files.tensor(name).clone();
    }
    edit(stored);
    std::vector<NamedTensor> list;
    for (const auto& [name, tensor] : stored) list.push_back({name, tensor});
    write_safetensors(file, list);
  };
}

TEST(RefusedFolder, MissingTensors) {
  for (const std::string name : {"layers.1.self_attn.k_proj.weight", "layers.0.input_layernorm.weight",
                                 "norm.weight", "layers.1.mlp.down_proj.weight", "embed_tokens.weight"}) {
    EXPECT_THAT(refusal("states", "v5", tensors([&](auto& stored) { stored.erase(name); }),
                        {.pooling = Pooling::mean}),
                AllOf(HasSubstr("model.safetensors"), HasSubstr("'" + name + "'")));
  }
  const std::string latent = "latent_attention_model.cross_attend_blocks.1.fn.net.2.bias";
  EXPECT_THAT(refusal("vectors", "nv_odd_queries", tensors([&](auto& stored) { stored.erase(latent); })),
              HasSubstr("'" + latent + "'"));
}

TEST(RefusedFolder, MisshapedTensors) {
  const auto shaped = [](const std::string& name, at::IntArrayRef shape) {
    return refusal("states", "v5", tensors([&](auto& stored) { stored[name] = at::zeros(shape); }),
                   {.pooling = Pooling::mean});
  };
  EXPECT_THAT(
      shaped("layers.0.self_attn.q_proj.weight", {32, 31}),
      AllOf(HasSubstr("'layers.0.self_attn.q_proj.weight'"), HasSubstr("[32, 32]"), HasSubstr("[32, 31]")));
  EXPECT_THAT(shaped("layers.1.mlp.up_proj.weight", {63, 32}),
              AllOf(HasSubstr("[64, 32]"), HasSubstr("[63, 32]")));
  EXPECT_THAT(shaped("norm.weight", {1, 32}),
              AllOf(HasSubstr("'norm.weight'"), HasSubstr("[32]"), HasSubstr("[1, 32]")));
  EXPECT_THAT(shaped("norm.weight", {0}), HasSubstr("'norm.weight'"));
  EXPECT_THAT(shaped("embed_tokens.weight", {799, 32}),
              AllOf(HasSubstr("[800, 32]"), HasSubstr("[799, 32]")));
  EXPECT_THAT(refusal("vectors", "nv_odd_queries", tensors([](auto& stored) {
                        stored["latent_attention_model.latents"] = at::zeros({6, 32});
                      })),
              AllOf(HasSubstr("'latent_attention_model.latents'"), HasSubstr("[6, 24]")));
}

// A tensor that the model would have used, had config.json told of it: loading without it gives wrong
// vectors.
TEST(RefusedFolder, TensorsThatTheConfigDoesNotTellOf) {
  const auto with = [](const std::string& name) {
    return refusal("states", "v5", tensors([&](auto& stored) { stored[name] = at::zeros({32}); }),
                   {.pooling = Pooling::mean});
  };
  EXPECT_THAT(with("layers.0.self_attn.q_proj.bias"), HasSubstr("'layers.0.self_attn.q_proj.bias'"));
  EXPECT_THAT(with("layers.2.input_layernorm.weight"), HasSubstr("'layers.2.input_layernorm.weight'"));
  EXPECT_THAT(refusal("num_hidden_layers", 1), HasSubstr("layers.1."));
  // what a checkpoint carries and no embedder needs
  EXPECT_EQ(with("lm_head.weight"), "loaded");
  EXPECT_EQ(with("layers.0.self_attn.rotary_emb.inv_freq"), "loaded");
}

TEST(RefusedFolder, SentenceTransformersModules) {
  const auto with = [](const std::string& file, const std::string& key, const Json& value) {
    return refusal("vectors", "st_old_mean_documents",
                   [&](const ModelFolder& folder) { folder.set(file, key, value); });
  };
  EXPECT_THAT(with("modules.json", "2/type", "sentence_transformers.models.Dropout"), HasSubstr("Dropout"));
  EXPECT_THAT(with("modules.json", "0/type", "custom_st.Transformer2"), HasSubstr("Transformer2"));
  EXPECT_THAT(with("modules.json", "1/path", "../1_Pooling"), HasSubstr("modules.json"));
  EXPECT_THAT(with("1_Pooling/config.json", "pooling_mode", "median"), HasSubstr("median"));
  EXPECT_THAT(with("sentence_bert_config.json", "do_lower_case", true), HasSubstr("do_lower_case"));
  EXPECT_THAT(with("config_sentence_transformers.json", "default_prompt_name", "other"), HasSubstr("other"));
}

TEST(RefusedFolder, FreshLatentAttentionWhereTheCallerForbidsIt) {
  EXPECT_THAT(refusal("states", "v5", [](const ModelFolder&) {},
                      {.pooling = Pooling::latent_attention, .fresh_weights = false}),
              HasSubstr("latent"));
}

TEST(RefusedFolder, IdsOutsideTheVocabulary) {
  const ModelFolder folder(find_case("states", "v5"));
  const Embedder model = Embedder::load(folder.path(), {.pooling = Pooling::mean});
  for (int64_t id : {int64_t{-1}, int64_t{800}}) {
    const TokenBatch batch{.ids = at::tensor({int64_t{1}, id}), .cu_seqlens = {0, 2}, .pool_begin = {0}};
    EXPECT_THROW(forward(model.transformer, batch), std::runtime_error);
    EXPECT_THROW(model.embed(batch), std::runtime_error);
  }
}

TEST(RefusedFolder, TextsTooLong) {
  const ModelFolder folder(find_case("vectors", "st_mean"));
  const Embedder model = Embedder::load(folder.path());
  try {
    model.encode({"short", std::string(400, 'x')});
    FAIL() << "encoded a text of more than 40 ids";
  } catch (const TextError& error) {
    EXPECT_EQ(error.text, 1);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("text 1"), HasSubstr("40")));
  }
  EXPECT_THROW(model.encode({"\xff"}), std::invalid_argument);
}

}  // namespace
}  // namespace decovec
