// The gradient of a whole step, from token ids to the loss, for models of every kind.
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "decovec/loss/info_nce.hpp"
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

/// The loss with everything in one graph.
at::Tensor whole_loss(const Embedder& model, const StepBatch& batch) {
  const PackedBatch packed = pack(batch.sequences, 1 << 20).at(0);
  const at::Tensor sorted = model.embed(packed.batch);
  const at::Tensor embeddings =
      at::empty_like(sorted).index_copy(0, at::tensor(packed.rows, at::kLong), sorted);
  const int64_t queries = batch.own.size();
  return info_nce(
      {embeddings.narrow(0, 0, queries), embeddings.narrow(0, queries, embeddings.size(0) - queries)},
      batch.relation);
}

struct Gradient {
  double loss;
  std::vector<at::Tensor> holders;
};

Gradient plain(const Embedder& model) {
  const Weights weights = make_weights(model.parameters());
  const TrainableScope trainable(weights);
  const at::Tensor loss = whole_loss(model, make_batch(model));
  loss.backward();
  GradientSum sum(weights.holders);
  sum.take();
  World world;
  return {loss.item<double>(), test::whole(sum.finish(world), weights.holders, world)};
}

Gradient cached(const Embedder& model, World& world, int64_t micro_batch_tokens, bool checkpointing) {
  const Weights weights = make_weights(model.parameters());
  const TrainableScope trainable(weights);
  const StepBatch batch = make_batch(model, rows_of_rank(6, world.rank(), world.size()));
  GradientSum sum(weights.holders);
  const CachedLoss result = accumulate_gradient(
      batch,
      [&](const TokenBatch& tokens) {
        return model.embed(tokens, {.gradient_checkpointing = checkpointing});
      },
      [&](const Embeddings& embeddings, FilterCounts*) { return info_nce(embeddings, batch.relation); }, sum,
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

class Gradients : public testing::TestWithParam<std::tuple<Pooling, Attention>> {
 protected:
  Embedder model(at::ScalarType type) const {
    return tiny_model(std::get<0>(GetParam()), type, std::get<1>(GetParam()));
  }
};

INSTANTIATE_TEST_SUITE_P(Models, Gradients,
                         testing::Combine(testing::Values(Pooling::mean, Pooling::last_token,
                                                          Pooling::latent_attention),
                                          testing::Values(Attention::bidirectional, Attention::causal)));

TEST_P(Gradients, AreTheSlopesOfTheLossForEveryParameter) {
  const Embedder embedder = model(at::kDouble);
  const Gradient gradient = plain(embedder);
  const StepBatch batch = make_batch(embedder);
  const Weights weights = make_weights(embedder.parameters());
  at::NoGradGuard no_grad;
  for (size_t p = 0; p < weights.parameters.size(); ++p) {
    at::Tensor value = weights.parameters[p].value();
    const at::Tensor direction = random_normal(RandomKey(5).with(p), value.sizes().vec(), 1).to(at::kDouble);
    const double step = 1e-4 / direction.norm().item<double>();
    const auto loss_at = [&](double distance) {
      value.add_(direction, distance);
      const double loss = whole_loss(embedder, batch).item<double>();
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
    const Gradient expected = plain(embedder);
    for (const int64_t micro_batch_tokens : {1, 30, 100, 100000})
      for (const bool checkpointing : {false, true})
        EXPECT_LT(difference(expected, cached(embedder, world, micro_batch_tokens, checkpointing)), tolerance)
            << c10::toString(type) << " " << micro_batch_tokens << " " << checkpointing;
  }
}

TEST_P(Gradients, DoNotDependOnTheNumberOfRanks) {
  for (const auto& [type, tolerance] : {std::pair(at::kDouble, 1e-10), std::pair(at::kFloat, 1e-5)}) {
    const Gradient expected = plain(model(type));
    ThreadRanks(2).run([&, type = type, tolerance = tolerance](World& world) {
      for (const bool checkpointing : {false, true})
        EXPECT_LT(difference(expected, cached(model(type), world, 100, checkpointing)), tolerance);
    });
  }
}

}  // namespace
}  // namespace decovec
