#include "model/known_embedders.hpp"

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/json_keys.hpp"
#include "model/config_file.hpp"
#include "model/folder.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

// NVIDIA's Llama embedders name their pooling in config.json.
void read_nvidia(const fs::path&, const JsonObject& config, const LoadOptions& options, FolderFacts&,
                 KnownEmbedder& known) {
  if (options.pooling) return;
  const std::string name = config.string("pooling", "avg");
  if (name == "avg") {
    known.pooling = Pooling::mean;
  } else if (name == "cls") {
    known.pooling = Pooling::cls;
  } else if (name == "last") {
    known.pooling = Pooling::last_token;
  } else {
    fail("{}: 'pooling': expected avg, cls or last, got '{}'; say --pooling (LoadOptions::pooling)",
         config.where(), name);
  }
}

// What LLM2Vec puts around instruction and text, by the model that it was made from.
struct ChatTurn {
  std::string_view base, before, after;
};

constexpr ChatTurn kLlm2VecTurns[] = {
    {"meta-llama/Meta-Llama-3-8B-Instruct", "<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
    {"mistralai/Mistral-7B-Instruct-v0.2", "[INST] ", " [/INST]"},
    {"meta-llama/Llama-2-7b-chat-hf", "[INST] ", " [/INST]"},
    {"google/gemma-2-9b-it", "<bos><start_of_turn>user\n", "<end_of_turn>"},
    {"Qwen/Qwen2-1.5B-Instruct", "<|im_start|>user\n", "<|im_end|>"},
    {"Qwen/Qwen2-7B-Instruct", "<|im_start|>user\n", "<|im_end|>"},
};

void read_llm2vec(const fs::path& folder, const JsonObject& config, const LoadOptions& options,
                  FolderFacts& facts, KnownEmbedder& known) {
  const std::string base = config.string("_name_or_path", "");
  for (const ChatTurn& turn : kLlm2VecTurns) {
    if (turn.base != base) continue;
    facts.rule.before = turn.before;
    facts.rule.after = turn.after;
  }
  const fs::path file = folder / folder::kLlm2Vec;
  if (!file_exists(file)) return;
  const JsonObject own = JsonObject::read(file);
  refuse_unknown_keys(own, {"pooling_mode", "max_length", "doc_max_length", "skip_instruction"});
  const std::string mode = own.string("pooling_mode", "mean");
  if (mode == "last_token") {
    known.pooling = Pooling::last_token;
  } else if (mode != "mean" && !options.pooling) {
    fail("{}: 'pooling_mode': expected mean or last_token, got '{}'; say --pooling (LoadOptions::pooling)",
         own.where(), mode);
  }
  if (!own.boolean("skip_instruction", true))
    fail("{}: 'skip_instruction': expected true, got false; pooling the instruction too is not supported",
         own.where());
  if (own.has("max_length")) known.max_length = own.integer("max_length", 1);
}

constexpr const char* kGritPrompt = "<|embed|>\n";

// One row an embedder. docs/models.md says of each what was seen of its folder and what was compared.
constexpr KnownEmbedder kKnown[] = {
    {.name = "NV-Embed", .model_type = "bidir_mistral", .attention = Attention::bidirectional},
    {.name = "gte-Qwen2, stella",
     .model_type = "qwen2",
     .module = "modeling_qwen",
     .attention = Attention::bidirectional},
    {.name = "QZhou",
     .model_type = "qwen2",
     .module = "modeling_qzhou",
     .attention = Attention::bidirectional},
    {.name = "Phi-3",
     .model_type = "phi3",
     .module = "modeling_phi3",  // Microsoft's own code for the family
     .attention = Attention::causal},
    {.name = "NVIDIA's Llama embedders",
     .model_type = "llama_bidirec",
     .attention = Attention::bidirectional,
     .pooling = Pooling::mean,
     .refine = read_nvidia},
    {.name = "GritLM",
     .model_type = "mistral",
     .module = "modeling_gritlm7b",
     .attention = Attention::bidirectional,
     .pooling = Pooling::mean,
     .instruction = InstructionPooling::sentence_transformers,
     .max_length = 512,
     .every_prompt = kGritPrompt},
    {.name = "ReasonIR",
     .model_type = "llama",
     .module = "modeling_reasonir_8b",
     .attention = Attention::bidirectional,
     .pooling = Pooling::mean,
     .instruction = InstructionPooling::sentence_transformers,
     .every_prompt = kGritPrompt},
    {.name = "LLM2Vec",
     .file = folder::kLlm2Vec,
     .model_type = "llama",
     .module = "modeling_llama_encoder",
     .attention = Attention::bidirectional,
     .pooling = Pooling::mean,
     .instruction = InstructionPooling::llm2vec,
     .normalise = false,
     .max_length = 512,
     .refine = read_llm2vec},
};

bool recognises(const KnownEmbedder& known, const fs::path& folder, const std::string& model_type,
                const std::string& module) {
  if (!known.file.empty() && file_exists(folder / known.file)) return true;
  return known.model_type == model_type && (known.module.empty() || known.module == module);
}

}  // namespace

const KnownEmbedder* find_known_embedder(const fs::path& folder, const JsonObject& config) {
  const std::string model_type = config.string("model_type"), module = remote_module(config);
  for (const KnownEmbedder& known : kKnown)
    if (recognises(known, folder, model_type, module)) return &known;
  return nullptr;
}

std::optional<int64_t> apply_known(KnownEmbedder known, const fs::path& folder, const JsonObject& config,
                                   const LoadOptions& options, FolderFacts& facts) {
  if (!known.pooling) return std::nullopt;
  if (known.refine != nullptr) known.refine(folder, config, options, facts, known);
  facts.layout = FolderLayout::known_embedder;
  facts.pooling = {*known.pooling};
  facts.rule.instruction = known.instruction;
  if (!known.normalise) facts.heads.clear();
  if (*known.every_prompt != '\0') {
    facts.default_prompt = "document";
    facts.prompts[facts.default_prompt] = known.every_prompt;
  }
  return known.max_length;
}

}  // namespace decovec
