#include "train/memory_plan.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <unistd.h>

#include <ATen/ATen.h>

#include "io/error.hpp"
#include "model/adapter_folder.hpp"
#include "train/grad_cache.hpp"
#include "train/weights.hpp"
#include "world/memory.hpp"
#include "world/ranks.hpp"

namespace decovec {
namespace {

int64_t parts(int64_t amount, int64_t of) { return (amount + of - 1) / of; }

/// Bytes that autograd keeps for one token, by what the layers of src/model compute.
struct TokenBytes {
  double layer = 0;     ///< of a layer
  double between = 0;   ///< of the states between two layers
  double backward = 0;  ///< what a layer's backward pass takes besides
  double ends = 0;      ///< of what comes before and after the layers
};

TokenBytes bytes_a_token(const MemoryFacts& facts, int64_t tokens) {
  const ModelConfig& config = facts.config;
  const auto e = static_cast<double>(facts.weight_bytes), wide = std::max(e, 4.0);
  const auto hidden = static_cast<double>(config.hidden_size),
             inner = static_cast<double>(config.intermediate_size);
  const auto q = static_cast<double>(config.heads * config.head_dim),
             kv = static_cast<double>(config.kv_heads * config.head_dim);
  const auto longest = static_cast<double>(std::min(facts.longest, tokens));
  // A norm keeps what it read (a wide copy of it), that divided by its length, and that times the weight.
  const auto norm = [&](double width) { return width * (wide == e ? 3 * e : wide + 2 * e); };

  TokenBytes bytes;
  // Capped scores are held; the flash kernels hold none.
  const double scores = config.soft_cap ? static_cast<double>(config.heads) * longest * wide : 0;
  bytes.layer = 2 * norm(hidden) + (config.post_norms ? 2 * norm(hidden) : 0) +
                (config.qk_norm ? norm(q + kv) : 0) + (q + 2 * kv) * e + (q + kv) * e + 2 * q * e +
                4 * inner * e + scores;
  bytes.between = hidden * e;
  bytes.backward = 3 * inner * e + 2 * hidden * e + scores;
  bytes.ends = hidden * e + norm(hidden) + 2 * hidden * wide;
  if (facts.latents) {
    const LatentAttentionConfig& latents = *facts.latents;
    const auto attended = static_cast<double>(latents.heads * latents.head_dim);
    bytes.ends += 3 * norm(hidden) + 2 * attended * e +
                  2 * static_cast<double>(latents.heads * latents.latents) * e +
                  4 * static_cast<double>(latents.multiplier) * hidden * e;
  }
  return bytes;
}

int64_t graph_bytes(const MemoryFacts& facts, const StageRecipe& stage, int64_t tokens) {
  const TokenBytes bytes = bytes_a_token(facts, tokens);
  const auto layers = static_cast<double>(facts.config.layers);
  const double kept =
      stage.gradient_checkpointing ? layers * bytes.between + bytes.layer : layers * bytes.layer;
  return static_cast<int64_t>(static_cast<double>(tokens) * (kept + bytes.backward + bytes.ends));
}

}  // namespace

int64_t MemoryPlan::peak() const {
  return weights + masters + optimizer + embeddings + micro_batch + std::max(gradients, scores);
}

MemoryPlan plan_stage(const MemoryFacts& facts, const StageRecipe& stage) {
  const int64_t wide = std::max<int64_t>(facts.weight_bytes, 4);
  const int64_t own = parts(facts.trained, facts.ranks);
  const int64_t queries = stage.batch_size, texts = queries * (1 + facts.documents_a_query);
  const int64_t own_queries = parts(queries, facts.ranks), own_texts = parts(texts, facts.ranks);

  MemoryPlan plan{.stage = stage.name};
  plan.weights = facts.weights * facts.weight_bytes;
  plan.masters = facts.weight_bytes < 4 ? own * wide : 0;
  plan.optimizer = stage.optimizer == Optimizer::adamw ? 2 * own * wide : 0;
  plan.gradients = facts.trained * wide;
  // Of all texts: the vectors, those of unit length, and the gradients of both; of the own, both once more.
  plan.embeddings = (5 * texts + 2 * own_texts) * facts.dimensions * wide;
  const int64_t tile =
      std::min(own_queries, std::max(GradCacheOptions().tile_scores / texts, facts.dimensions / 4));
  // The scores, their softmax and its gradient.
  plan.scores = 3 * tile * texts * wide;
  plan.micro_batch_tokens = stage.micro_batch_tokens;
  plan.available = facts.available;

  const int64_t most = own_texts * facts.longest;  // that the batch may have
  const auto micro_batch = [&](int64_t tokens) {
    return std::max(graph_bytes(facts, stage, std::min(tokens, most)), facts.trained * facts.weight_bytes);
  };
  const auto fits = [&](int64_t tokens) {
    MemoryPlan trial = plan;
    trial.micro_batch = micro_batch(tokens);
    return trial.fits();
  };
  int64_t fitting = 0;
  for (int64_t step = int64_t{1} << 30; step > 0; step /= 2)
    if (fitting + step <= std::min(most, kMaxMicroBatchTokens) && fits(fitting + step)) fitting += step;
  const int64_t round = 64;  // an estimate has no more digits
  plan.fitting_tokens = fitting > round ? fitting / round * round : fitting;
  plan.micro_batch = micro_batch(stage.micro_batch_tokens);
  return plan;
}

std::vector<MemoryPlan> plan_memory(const Embedder& model, const Recipe& recipe, World* world) {
  return at_boundary("plan_memory", [&] {
    World alone(model.device());
    World& ranks = world != nullptr ? *world : alone;
    MemoryFacts facts{.config = model.transformer.config,
                      .weight_bytes = static_cast<int64_t>(model.transformer.embedding.element_size()),
                      .dimensions = model.dimensions(),
                      .longest = model.rule.max_length,
                      .ranks = ranks.size()};
    if (model.latents) facts.latents = model.latents->config;
    Embedder trained = model;  // as train() begins with it
    if (recipe.lora && unmerged_adapter(model) == nullptr) trained.add_adapter(*recipe.lora, recipe.seed);
    for (const Parameter& parameter : trained.parameters()) facts.weights += parameter.value().numel();
    for (const Parameter& parameter : trained_parameters(trained)) facts.trained += parameter.value().numel();
    if (const std::optional<int64_t> free = free_memory(model.device())) {
      int64_t sharing = 1;
      if (model.device().is_cpu()) {
        char name[256] = "";
        gethostname(name, sizeof(name) - 1);
        const auto machine = static_cast<int64_t>(std::hash<std::string>()(name));
        sharing = std::ranges::count(of_each_rank(ranks, machine), machine);
      }
      facts.available = *free / sharing + facts.weights * facts.weight_bytes;
    }
    std::vector<MemoryPlan> plans;
    for (const StageRecipe& stage : recipe.stages) {
      facts.documents_a_query = 1;
      for (const DataRecipe& data : recipe.data)
        if (stage.data.empty() || std::ranges::find(stage.data, data.name) != stage.data.end())
          facts.documents_a_query = std::max(facts.documents_a_query, 1 + data.negatives);
      plans.push_back(plan_stage(facts, stage));
    }
    return plans;
  });
}

}  // namespace decovec
