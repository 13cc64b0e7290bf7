#include "model/sentence_transformers_folder.hpp"

#include <array>
#include <set>

#include "decovec/io/tensor_files.hpp"
#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json_keys.hpp"
#include "model/config_file.hpp"
#include "model/folder.hpp"
#include "model/sentence_transformers_names.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSentence = "sentence_embedding";

fs::path module_path(const JsonObject& module) {
  const fs::path path = read_path(module, "path");
  const bool climbs =
      std::any_of(path.begin(), path.end(), [](const fs::path& part) { return part == ".."; });
  if (path.is_absolute() || climbs)
    fail("{}: 'path': expected a folder inside the model's, got '{}'", module.where(), path.string());
  return path;
}

// modules.json names classes by a path that changed between versions; the package and the last component did
// not.
std::string class_name(const JsonObject& module) {
  const std::string type = module.string("type");
  if (!type.starts_with("sentence_transformers."))
    fail("{}: 'type': '{}' is code of its own, which decovec does not know", module.where(), type);
  return type.substr(type.rfind('.') + 1);
}

Pooling pooling_of(const std::string& mode, const JsonObject& config) {
  std::string known;
  for (const PoolingNames& names : kPoolingNames) {
    if (names.mode == mode) return names.pooling;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", names.mode);
  }
  fail("{}: 'pooling_mode': expected one of {}, got '{}'", config.where(), known, mode);
}

void read_pooling(const JsonObject& config, FolderFacts& facts) {
  std::set<std::string> known = {"word_embedding_dimension", "embedding_dimension", "pooling_mode",
                                 "include_prompt"};
  for (const PoolingNames& names : kPoolingNames) known.insert(names.flag);
  refuse_unknown_keys(config, known);
  for (const char* key : {"word_embedding_dimension", "embedding_dimension"})
    if (config.has(key)) facts.pooled_columns = config.integer(key);
  if (config.has("pooling_mode")) {
    const Json& mode = config.raw().at("pooling_mode");
    for (const Json& one : mode.is_array() ? mode : Json::array({mode})) {
      if (!one.is_string()) fail("{}: 'pooling_mode': expected names, got {}", config.where(), shown(mode));
      facts.pooling.push_back(pooling_of(one.get<std::string>(), config));
    }
    if (facts.pooling.empty()) fail("{}: 'pooling_mode': expected at least one mode", config.where());
  } else {
    for (const PoolingNames& names : kPoolingNames)
      if (config.boolean(names.flag, false)) facts.pooling.push_back(names.pooling);
    if (facts.pooling.empty())
      facts.pooling = {Pooling::mean};  // what the library does where every flag is false
  }
  facts.rule.instruction = config.boolean("include_prompt", true) ? InstructionPooling::pooled
                                                                  : InstructionPooling::sentence_transformers;
}

// Modules act on the text's vector; ones that act on tokens are of other kinds of model.
void expect_sentence_embedding(const JsonObject& config) {
  for (const char* key : {"module_input_name", "module_output_name"})
    if (config.string(key, kSentence) != kSentence)
      fail("{}: '{}': expected {}, got '{}'", config.where(), key, kSentence, config.string(key));
}

std::string activation_of(const JsonObject& config) {
  if (!config.raw().contains("activation_function")) return "Tanh";  // the class's default
  const std::string path = config.string("activation_function");
  const std::string name = path.substr(path.rfind('.') + 1);
  if (!path.starts_with("torch.nn.") || !knows_activation(name))
    fail("{}: 'activation_function': '{}' is not supported", config.where(), path);
  return name;
}

// The caller's Dense in place of `named`, which is the only one of modules.json.
fs::path chosen_dense(const fs::path& folder, const fs::path& named, const std::string& dense) {
  if (dense.empty()) return named;
  std::string known;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.find("_Dense") == name.npos || !file_exists(entry.path() / folder::kConfig)) continue;
    if (name == dense) return folder / dense;
    known += (known.empty() ? "" : ", ") + name;
  }
  reject("--dense (LoadOptions::dense): '{}' is not among the Dense folders of {} ({})", dense,
         folder.string(), known);
}

Dense read_dense(const fs::path& folder) {
  const JsonObject config = JsonObject::read(folder / folder::kConfig);
  refuse_unknown_keys(config, {"in_features", "out_features", "bias", "activation_function",
                               "module_input_name", "module_output_name", "use_residual"});
  expect_sentence_embedding(config);
  const int64_t in = config.integer("in_features", 1, int64_t{1} << 28);
  const int64_t out = config.integer("out_features", 1, int64_t{1} << 28);
  Dense dense{.activation = activation_of(config), .use_residual = config.boolean("use_residual", false)};

  const TensorFiles file = TensorFiles::open(folder);
  std::set<std::string> expected;
  const auto read = [&](const char* name, const std::vector<int64_t>& shape) {
    expected.insert(name);
    if (!file.contains(name) || file.shape(name) != shape)
      fail("{}: tensor '{}': expected [{}] (config.json), got {}", file.path().string(), name,
           fmt::join(shape, ", "),
           file.contains(name) ? fmt::format("[{}]", fmt::join(file.shape(name), ", ")) : "none");
    const at::Tensor tensor = file.tensor(name);
    if (!tensor.is_floating_point())
      fail("{}: tensor '{}': expected floating-point numbers, got {}", file.path().string(), name,
           c10::toString(tensor.scalar_type()));
    return tensor;
  };
  dense.weight = read("linear.weight", {out, in});
  if (config.boolean("bias", true)) dense.bias = read("linear.bias", {out});
  if (dense.use_residual && in != out) dense.residual = read("residual.weight", {out, in});
  for (const std::string& name : file.names())
    if (!expected.contains(name))
      fail("{}: tensor '{}': unexpected: config.json tells of no such weight", file.path().string(), name);
  return dense;
}

void read_normalize(const fs::path& folder) {
  const fs::path file = folder / folder::kConfig;
  if (!file_exists(file)) return;
  const JsonObject config = JsonObject::read(file);
  refuse_unknown_keys(config, {"module_input_name", "module_output_name"});
  expect_sentence_embedding(config);
}

// Arguments for transformers that a folder carries along. The listed keys leave the vectors as they are.
void refuse_arguments(const JsonObject& config, std::initializer_list<const char*> names,
                      std::set<std::string> known) {
  known.merge(
      std::set<std::string>{"trust_remote_code", "revision", "token", "cache_dir", "local_files_only"});
  for (const char* name : names)
    if (config.has(name)) refuse_unknown_keys(config.object(name), known);
}

// The Transformer of version 5.4 and on serves other inputs and outputs too; decovec reads texts, as they
// are, and gives the last states.
void refuse_other_uses(const JsonObject& config) {
  const auto expect = [&](const JsonObject& object, const std::string& key, const std::string& expected) {
    if (object.has(key) && object.raw().at(key) != expected)
      fail("{}: '{}': expected '{}', got {}", object.where(), key, expected, shown(object.raw().at(key)));
  };
  expect(config, "transformer_task", "feature-extraction");
  expect(config, "module_output_name", "token_embeddings");
  if (config.has("modality_config")) {
    const JsonObject modalities = config.object("modality_config");
    for (const auto& [name, unused] : modalities.raw().items()) {
      if (name == "message")
        fail("{}: 'message': texts go through a chat template, which is not supported", modalities.where());
    }
    const JsonObject text = modalities.object("text");
    expect(text, "method", "forward");
    expect(text, "method_output_name", "last_hidden_state");
  }
  for (const char* key : {"processing_kwargs", "query_length", "document_length", "query_expansion"})
    if (config.has(key) && !config.raw().at(key).empty())
      fail("{}: '{}': {} is not supported", config.where(), key, shown(config.raw().at(key)));
}

// Of the file's names, the first whose file says something counts.
JsonObject first_settings(const fs::path& transformer) {
  for (const char* kind : {"bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"}) {
    const fs::path file = transformer / fmt::format("sentence_{}_config.json", kind);
    if (!file_exists(file)) continue;
    JsonObject config = JsonObject::read(file);
    if (!config.raw().empty()) return config;
  }
  return {Json::object(), (transformer / folder::kTransformerConfig).string()};
}

// What this library alone knows of: see write_settings.
void read_own_settings(const JsonObject& own, SequenceRule& rule) {
  refuse_unknown_keys(own, {"text_before", "text_after", "instruction_pooling"});
  rule.before = own.string("text_before", "");
  rule.after = own.string("text_after", "");
  const std::string instruction = own.string("instruction_pooling", "");
  if (instruction == kLlm2VecPooling) {
    rule.instruction = InstructionPooling::llm2vec;
  } else if (!instruction.empty()) {
    fail("{}: 'instruction_pooling': expected {}, got '{}'", own.where(), kLlm2VecPooling, instruction);
  }
}

}  // namespace

void read_modules(const fs::path& folder, const std::string& dense, FolderFacts& facts) {
  facts.layout = FolderLayout::sentence_transformers;
  facts.heads.clear();
  const fs::path file = folder / folder::kModules;
  const Json modules = read_json(file);
  if (!modules.is_array()) fail("{}: expected a list of modules, got {}", file.string(), shown(modules));
  int64_t denses = 0;
  std::set<std::pair<std::string, Json>> marks;
  for (size_t i = 0; i < modules.size(); ++i) {
    const JsonObject module(modules[i], fmt::format("{}: module {}", file.string(), i));
    // sentence-transformers keeps one module of a name.
    for (const char* key : {"idx", "name"})
      if (module.has(key) && !marks.emplace(key, module.raw().at(key)).second)
        fail("{}: '{}': {} is another module's too; expected one that no other has", module.where(), key,
             shown(module.raw().at(key)));
    const std::string name = class_name(module);
    const fs::path path = folder / module_path(module);
    if (module.has("kwargs") && !module.raw().at("kwargs").empty())
      fail("{}: 'kwargs': {} is not supported", module.where(), shown(module.raw().at("kwargs")));
    if (name == "Transformer" && i == 0) {
      facts.transformer = path;
    } else if (name == "Pooling" && i == 1) {
      read_pooling(JsonObject::read(path / folder::kConfig), facts);
    } else if (name == "Normalize" && i >= 2) {
      read_normalize(path);
      facts.heads.push_back(Normalize{});
    } else if (name == "Dense" && i >= 2) {
      facts.heads.push_back(read_dense(chosen_dense(folder, path, dense)));
      ++denses;
    } else {
      fail(
          "{}: '{}' at this place is not supported; expected Transformer, Pooling, then any of Dense and "
          "Normalize",
          module.where(), name);
    }
  }
  if (facts.pooling.empty()) fail("{}: expected a Pooling module", file.string());
  if (!dense.empty() && denses != 1)
    reject("--dense (LoadOptions::dense): expected a model with one Dense module, {} has {}", folder.string(),
           denses);
}

fs::path transformer_folder(const fs::path& folder) {
  const fs::path file = folder / folder::kModules;
  const Json modules = read_json(file);
  if (!modules.is_array() || modules.empty())
    fail("{}: expected a list of modules, got {}", file.string(), shown(modules));
  return folder / module_path(JsonObject(modules[0], fmt::format("{}: module 0", file.string())));
}

TransformerSettings read_transformer_settings(const fs::path& transformer) {
  const JsonObject config = first_settings(transformer);
  refuse_unknown_keys(config, {"max_seq_length", "do_lower_case", "transformer_task", "modality_config",
                               "module_output_name", "processing_kwargs", "unpad_inputs", "query_length",
                               "document_length", "query_expansion", "model_args", "model_kwargs",
                               "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs"});
  if (config.boolean("do_lower_case", false))
    fail("{}: 'do_lower_case': true is not supported; put a Lowercase normalizer into tokenizer.json",
         config.where());
  refuse_other_uses(config);
  refuse_arguments(config, {"model_args", "model_kwargs"},
                   {"torch_dtype", "dtype", "attn_implementation", "device_map", "low_cpu_mem_usage"});
  refuse_arguments(config, {"tokenizer_args", "processor_kwargs"},
                   {"model_max_length", "padding_side", "use_fast"});
  refuse_arguments(config, {"config_args", "config_kwargs"}, {"use_cache"});

  TransformerSettings settings;
  if (config.has("max_seq_length")) settings.max_length = config.integer("max_seq_length", 1);
  for (const char* name : {"tokenizer_args", "processor_kwargs"}) {
    if (!config.has(name)) continue;
    const JsonObject arguments = config.object(name);
    if (arguments.has("model_max_length")) settings.max_length = arguments.integer("model_max_length", 1);
  }
  for (const char* name : {"model_args", "model_kwargs"}) {
    if (!config.has(name)) continue;
    const JsonObject arguments = config.object(name);
    for (const char* key : {"torch_dtype", "dtype"})
      if (const std::string dtype = arguments.string(key, "auto"); dtype != "auto")
        settings.dtype = dtype_from_name(dtype.substr(dtype.rfind('.') + 1), arguments.where());
  }
  return settings;
}

void read_model_settings(const fs::path& folder, FolderFacts& facts) {
  const fs::path file = folder / folder::kPrompts;
  if (!file_exists(file)) return;
  const JsonObject config = JsonObject::read(file);
  const std::string kind = config.string("model_type", "SentenceTransformer");
  if (kind != "SentenceTransformer")
    fail("{}: 'model_type': expected SentenceTransformer, got '{}'", config.where(), kind);
  if (config.has("prompts")) {
    const JsonObject prompts = config.object("prompts");
    for (const auto& entry : prompts.raw().items())
      facts.prompts[entry.key()] = prompts.string(entry.key(), "");
  }
  facts.default_prompt = config.string("default_prompt_name", facts.default_prompt);
  if (!facts.default_prompt.empty() && !facts.prompts.contains(facts.default_prompt))
    fail("{}: 'default_prompt_name': '{}' is not among 'prompts'", config.where(), facts.default_prompt);
  facts.similarity_fn = config.string("similarity_fn_name", facts.similarity_fn);
  if (std::find(kSimilarities.begin(), kSimilarities.end(), facts.similarity_fn) == kSimilarities.end())
    fail("{}: 'similarity_fn_name': expected {}, got '{}'", config.where(), fmt::join(kSimilarities, ", "),
         facts.similarity_fn);
  if (config.has(folder::kOwnSettings)) read_own_settings(config.object(folder::kOwnSettings), facts.rule);
  if (config.has("truncate_dim")) facts.heads.push_back(Truncation{config.integer("truncate_dim", 1)});
}

}  // namespace decovec
