// The gradient of a whole step, from token ids to the loss, for models of every kind.
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "decovec/loss/batch_loss.hpp"
#include "decovec/loss/info_nce.hpp"
#include "decovec/loss/matryoshka.hpp"
#include "decovec/loss/triplet.hpp"
#include "train/fixed_rows.hpp"
#include "train/grad_cache.hpp"
#include "train/thread_world.hpp"
#include "train/tiny_run.hpp"
#include "train/weights.hpp"
#include "train/whole.hpp"

namespace decovec {
namespace {

using test::drawn, test::fixed_rows, test::tiny_model;

const Dataset definitions = test::tiny_definitions(), topics = test::tiny_topics();

const RowSource definition_rows =
    fixed_rows("definitions", {drawn(definitions, 0, 1, {0, 1, 2}), drawn(definitions, 1, 0, {}),
                               drawn(definitions, 3, 0, {0}), drawn(definitions, 6, 0, {0})});
const RowSource topic_rows = fixed_rows("topics", {drawn(topics, 0, 0, {1, 0}), drawn(topics, 2, 0, {0})});

StepBatch make_batch(const Embedder& model, RowRange own = {0, 6}) {
  const std::vector<TrainingSet> sets = {{&definition_rows, "find: ", "text: ", true},
                                         {&topic_rows, "topic: ", "", false}};
  const std::vector<BatchRow> rows = {{.dataset = 0, .example = 0}, {.dataset = 0, .example = 1},
                                      {.dataset = 1, .example = 0}, {.dataset = 0, .example = 2},
                                      {.dataset = 0, .example = 3}, {.dataset = 1, .example = 1}};
  return assemble(sets, rows, own, [&](std::string_view instruction, std::string_view text) {
    return model.sequence(instruction, text, Truncate::right);
  });
}

/// Shares of zeros, a place's lots drawn as in a step.
struct Rates {
  double hidden = 0, adapter_input = 0;
};

ForwardOptions forward_options(const StepBatch& batch, const PackedBatch& packed, const Rates& rates,
                               bool checkpointing) {
  const std::vector<uint64_t> keys = sequence_keys(batch, RandomKey(17));
  ForwardOptions options{.gradient_checkpointing = checkpointing,
                         .dropout = {.hidden = rates.hidden, .adapter_input = rates.adapter_input}};
  for (const int64_t row : packed.rows) options.dropout.keys.push_back(keys[static_cast<size_t>(row)]);
  return options;
}

/// Several losses at once, each of some sets or of all.
std::vector<LossTerm> stacked_losses() {
  const Loss nce = [](const Embeddings& embeddings, const Relation& relation, FilterCounts* counts) {
    return info_nce(embeddings, relation, {}, counts);
  };
  const Loss cut = [=](const Embeddings& embeddings, const Relation& relation, FilterCounts* counts) {
    return matryoshka(nce, embeddings, relation, {.dimensions = {4, 16}, .weights = {0.5, 1}}, counts);
  };
  const Loss margin = [](const Embeddings& embeddings, const Relation& relation, FilterCounts*) {
    return triplet(embeddings, relation);
  };
  return {{cut}, {nce, 2.0, {0}}, {margin, 0.25, {1}}};
}

/// The loss with everything in one graph.
at::Tensor whole_loss(const Embedder& model, const StepBatch& batch, const Rates& rates) {
  const PackedBatch packed = pack(batch.sequences, 1 << 20).at(0);
  const at::Tensor sorted = model.embed(packed.batch, forward_options(batch, packed, rates, false));
  const at::Tensor embeddings =
      at::empty_like(sorted).index_copy(0, at::tensor(packed.rows, at::kLong), sorted);
  const int64_t queries = batch.own.size();
  return BatchLoss(stacked_losses(), batch.relation)(
      {embeddings.narrow(0, 0, queries), embeddings.narrow(0, queries, embeddings.size(0) - queries)});
}

struct Gradient {
  double loss;
  std::vector<at::Tensor> holders;
};

Gradient plain(const Embedder& model, const Rates& rates) {
  const Weights weights = make_weights(trained_parameters(model));
  const TrainableScope trainable(weights);
  const at::Tensor loss = whole_loss(model, make_batch(model), rates);
  loss.backward();
  GradientSum sum(weights.holders);
  sum.take();
  World world;
  return {loss.item<double>(), test::whole(sum.finish(world), weights.holders, world)};
}

Gradient cached(const Embedder& model, World& world, const Rates& rates, int64_t micro_batch_tokens,
                bool checkpointing) {
  const Weights weights = make_weights(trained_parameters(model));
  const TrainableScope trainable(weights);
  const StepBatch batch = make_batch(model, rows_of_rank(6, world.rank(), world.size()));
  const BatchLoss loss(stacked_losses(), batch.relation);
  GradientSum sum(weights.holders);
  const CachedLoss result = accumulate_gradient(
      batch,
      [&](const PackedBatch& packed) {
        return model.embed(packed.batch, forward_options(batch, packed, rates, checkpointing));
      },
      [&](const Embeddings& embeddings, FilterCounts* counts) { return loss(embeddings, counts); }, sum,
      at::kCPU, world, {.micro_batch_tokens = micro_batch_tokens, .tile_scores = 64});
  return {result.loss, test::whole(sum.finish(world), weights.holders, world)};
}

/// The largest difference of any weight's gradient, relative to the largest gradient of its holder.
double difference(const Gradient& a, const Gradient& b) {
  double largest = std::abs(a.loss - b.loss) / std::abs(a.loss);
  for (size_t i = 0; i < a.holders.size(); ++i) {
    const double scale = a.holders[i].abs().max().item<double>();
    EXPECT_GT(scale, 0);
    largest = std::max(largest, (a.holders[i] - b.holders[i]).abs().max().item<double>() / scale);
  }
  return largest;
}

/// A model, with an adapter or without, and dropout or none.
struct Kind {
  const char* name;
  Pooling pooling = Pooling::mean;
  Attention attention = Attention::bidirectional;
  std::optional<AdapterConfig> adapter = std::nullopt;
  Rates rates = {};
};

AdapterConfig all_linear(bool rslora, bool dora) {
  return {.rank = 3, .alpha = 6, .rslora = rslora, .dora = dora, .targets = {.pattern = "all-linear"}};
}

const Kind kKinds[] = {
    {.name = "mean"},
    {.name = "mean_causal", .attention = Attention::causal},
    {.name = "last_token", .pooling = Pooling::last_token},
    {.name = "last_token_causal", .pooling = Pooling::last_token, .attention = Attention::causal},
    {.name = "latent_attention", .pooling = Pooling::latent_attention},
    {.name = "latent_attention_causal", .pooling = Pooling::latent_attention, .attention = Attention::causal},
    {.name = "hidden_dropout", .rates = {.hidden = 0.1}},
    {.name = "lora", .adapter = all_linear(false, false)},
    {.name = "rslora_latent_attention_dropout",
     .pooling = Pooling::latent_attention,
     .adapter = all_linear(true, false),
     .rates = {.hidden = 0.1, .adapter_input = 0.2}},
    {.name = "dora", .adapter = all_linear(false, true)},
    {.name = "dora_dropout",
     .attention = Attention::causal,
     .adapter = all_linear(false, true),
     .rates = {.hidden = 0.1, .adapter_input = 0.2}},
};

class Gradients : public testing::TestWithParam<Kind> {
 protected:
  Embedder model(at::ScalarType type) const {
    Embedder embedder = tiny_model(GetParam().pooling, type, GetParam().attention);
    if (!GetParam().adapter) return embedder;
    embedder.add_adapter(*GetParam().adapter);
    for (const Parameter& parameter : embedder.parameters())  // B begins at 0, and then A has no gradient
      if (parameter.name.ends_with(".lora_B.weight"))
        parameter.value().copy_(random_normal(RandomKey(4).with(parameter.name), parameter.shape(), 0.05));
    return embedder;
  }
  const Rates& rates() const { return GetParam().rates; }
};

INSTANTIATE_TEST_SUITE_P(Models, Gradients, testing::ValuesIn(kKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

TEST_P(Gradients, AreTheSlopesOfTheLossForEveryParameter) {
  if (GetParam().adapter && GetParam().adapter->dora)
    GTEST_SKIP() << "DoRA's gradients take lengths that are none for constants";
  const Embedder embedder = model(at::kDouble);
  const Gradient gradient = plain(embedder, rates());
  const StepBatch batch = make_batch(embedder);
  const Weights weights = make_weights(trained_parameters(embedder));
  at::NoGradGuard no_grad;
  for (size_t p = 0; p < weights.parameters.size(); ++p) {
    at::Tensor value = weights.parameters[p].value();
    const at::Tensor direction = random_normal(RandomKey(5).with(p), value.sizes().vec(), 1).to(at::kDouble);
    const double step = 1e-4 / direction.norm().item<double>();
    const auto loss_at = [&](double distance) {
      value.add_(direction, distance);
      const double loss = whole_loss(embedder, batch, rates()).item<double>();
      value.add_(direction, -distance);
      return loss;
    };
    // Central differences of fourth order.
    const double slope =
        (8 * (loss_at(step) - loss_at(-step)) - (loss_at(2 * step) - loss_at(-2 * step))) / (12 * step);
    Parameter of_gradient = weights.parameters[p];
    of_gradient.holder = gradient.holders[weights.holder_of[p]];
    const at::Tensor analytic = of_gradient.value();
    EXPECT_NEAR(slope, (analytic * direction).sum().item<double>(),
                1e-7 * analytic.norm().item<double>() * direction.norm().item<double>())
        << weights.parameters[p].name;
  }
}

TEST_P(Gradients, DoNotDependOnMicroBatchesOrCheckpointing) {
  World world;
  for (const auto& [type, tolerance] : {std::pair(at::kDouble, 1e-10), std::pair(at::kFloat, 1e-5)}) {
    const Embedder embedder = model(type);
    const Gradient expected = plain(embedder, rates());
    for (const int64_t micro_batch_tokens : {1, 30, 100, 100000})
      for (const bool checkpointing : {false, true})
        EXPECT_LT(difference(expected, cached(embedder, world, rates(), micro_batch_tokens, checkpointing)),
                  tolerance)
            << c10::toString(type) << " " << micro_batch_tokens << " " << checkpointing;
  }
}

TEST_P(Gradients, DoNotDependOnTheNumberOfRanks) {
  for (const auto& [type, tolerance] : {std::pair(at::kDouble, 1e-10), std::pair(at::kFloat, 1e-5)}) {
    const Gradient expected = plain(model(type), rates());
    ThreadRanks(2).run([&, type = type, tolerance = tolerance](World& world) {
      for (const bool checkpointing : {false, true})
        EXPECT_LT(difference(expected, cached(model(type), world, rates(), 100, checkpointing)), tolerance);
    });
  }
}

}  // namespace
}  // namespace decovec
