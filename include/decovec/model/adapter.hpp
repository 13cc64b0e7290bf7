#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

/// A low-rank change of rows of a weight W [out, in]. LoRA: W + scale b a. DoRA: the rows of that sum, each
/// of the length that `magnitude` says; the length it had counts as a constant in gradients. Source:
/// arXiv:2106.09685, arXiv:2402.09353.
struct LowRank {
  int64_t row = 0;            ///< the first row that changes; the others follow, as many as b has
  double scale = 1;           ///< alpha / r, or alpha / sqrt(r)
  at::Tensor a = {};          ///< [r, in]
  at::Tensor b = {};          ///< [rows, r]
  at::Tensor magnitude = {};  ///< [rows]; undefined for LoRA
};

/// x to x weight^T + bias, and adapters beside the weight.
struct Linear {
  at::Tensor weight;                   ///< [out, in]
  at::Tensor bias;                     ///< [out]; undefined where there is none
  std::vector<LowRank> adapters = {};  ///< by rising rows, which no two share
};

/// Modules by name, as PEFT takes them.
struct ModuleNames {
  std::vector<std::string> names = {};  ///< whole paths, or what a path ends with behind a dot
  std::string pattern = {};             ///< instead of names: a regular expression of the whole path
};

/// Which of the base's biases an adapter brings with it.
enum class AdapterBias { none, all, lora_only };

/// What an adapter_config.json of PEFT says of LoRA.
struct AdapterConfig {
  std::string base = {};  ///< base_model_name_or_path
  std::string task = {};  ///< task_type; may be empty
  int64_t rank = 8;
  double alpha = 8;
  double dropout = 0;   ///< of what goes into `a`, in training
  bool rslora = false;  ///< the scale is alpha / sqrt(rank)
  bool dora = false;
  ModuleNames targets = {};  ///< the pattern "all-linear" is every linear map
  ModuleNames excluded = {};
  std::vector<int64_t> layers = {};              ///< of the targets, those of these layers; empty: of all
  std::vector<std::string> layers_pattern = {};  ///< what the list of layers is called; empty: anything
  /// Ranks and alphas of the modules whose path ends with what the expression matches; the first counts.
  std::vector<std::pair<std::string, int64_t>> rank_pattern = {};
  std::vector<std::pair<std::string, double>> alpha_pattern = {};
  std::vector<std::string> modules_to_save = {};  ///< modules replaced whole, by what their paths end with
  AdapterBias bias = AdapterBias::none;
};

/// An adapter that a model was loaded with.
struct Adapter {
  std::filesystem::path folder;
  AdapterConfig config;
  bool merged = true;            ///< whether it is part of the weights, rather than beside them
  std::string path_prefix = {};  ///< before "layers." in its paths: "model." for causal language models
  std::vector<std::string> replaced = {};  ///< the base's parameters that came with it
};

/// Whether a parameter of this name belongs to an adapter ("layers.0.self_attn.q_proj.lora_A.weight").
bool is_adapter_weight(std::string_view name);

}  // namespace decovec
