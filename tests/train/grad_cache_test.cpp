// The gradient of a batch must not depend on how the work is cut. The embeddings here come from a small
// function of our own; gradients_test.cpp does the same with real models.
#include "train/grad_cache.hpp"

#include <functional>
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "decovec/loss/batch_loss.hpp"
#include "decovec/loss/cosent.hpp"
#include "decovec/loss/info_nce.hpp"
#include "decovec/loss/matryoshka.hpp"
#include "io/error.hpp"
#include "train/thread_world.hpp"
#include "train/whole.hpp"
#include "world/ranks.hpp"

namespace decovec {
namespace {

constexpr int64_t kVocabulary = 20, kWidth = 6;

/// Embeds a sequence as tanh(mean of its ids' rows) times a matrix.
struct TinyModel {
  at::Tensor table, matrix;
  mutable int64_t largest_batch = 0, calls = 0;

  explicit TinyModel(at::ScalarType type)
      : table(random_normal(RandomKey(1), {kVocabulary, kWidth}, 1).to(type).requires_grad_(true)),
        matrix(random_normal(RandomKey(2), {kWidth, kWidth}, 1).to(type).requires_grad_(true)) {}

  std::vector<at::Tensor> holders() const { return {table, matrix}; }

  at::Tensor operator()(const TokenBatch& batch) const {
    ++calls;
    largest_batch = std::max(largest_batch, batch.tokens());
    const at::Tensor rows = table.index_select(0, batch.ids);
    std::vector<at::Tensor> means;
    for (size_t b = 0; b + 1 < batch.cu_seqlens.size(); ++b)
      means.push_back(
          rows.narrow(0, batch.cu_seqlens[b], batch.cu_seqlens[b + 1] - batch.cu_seqlens[b]).mean(0));
    return at::stack(means).tanh().matmul(matrix);
  }
};

/// Seven queries in two pools and alone, with none to three hard negatives.
StepBatch make_batch(RowRange own) {
  StepBatch batch;
  batch.own = own;
  const std::vector<int64_t> negatives = {0, 3, 1, 2, 0, 1, 3};
  const auto add = [&](int64_t row, uint64_t text) {
    if (row < own.begin || row >= own.end) return;
    TokenSequence sequence;
    const uint64_t length = 1 + random_below(RandomKey(3).with(text), 9);
    for (uint64_t i = 0; i < length; ++i)
      sequence.ids.push_back(
          static_cast<int64_t>(random_below(RandomKey(4).with(text).with(i), kVocabulary)));
    batch.tokens += static_cast<int64_t>(length);
    batch.sequences.push_back(std::move(sequence));
    batch.row_of.push_back(row);
  };
  uint64_t text = 0;
  RelationFacts facts;
  for (int64_t row = 0; row < 7; ++row) {
    facts.pool.push_back(row % 3 == 2 ? -1 : 0);
    facts.answers.emplace_back();
    facts.set.push_back(row % 2);
    add(row, text++);
  }
  for (int64_t row = 0; row < 7; ++row) {
    for (int64_t i = 0; i <= negatives[static_cast<size_t>(row)]; ++i) {
      facts.owner.push_back(row);
      facts.role.push_back(i == 0 ? Role::positive : Role::negative);
      facts.text.push_back(text);
      facts.score.push_back(random_uniform(RandomKey(5).with(text)));
      add(row, text++);
    }
  }
  facts.answers[1].push_back(facts.text[0]);  // row 0's positive answers row 1 too
  batch.relation = Relation(std::move(facts));
  return batch;
}

struct Gradient {
  double loss;
  std::vector<at::Tensor> holders;
};

/// One graph over everything, and no function of ours but the embeddings.
Gradient plain(const TinyModel& model, const StepBatch& batch) {
  std::vector<at::Tensor> embeddings;
  for (const TokenSequence& sequence : batch.sequences) {
    const at::Tensor mean = model.table.index_select(0, at::tensor(sequence.ids, at::kLong)).mean(0);
    const at::Tensor embedding = mean.tanh().matmul(model.matrix);
    embeddings.push_back(embedding / embedding.norm());
  }
  const at::Tensor all = at::stack(embeddings);
  const at::Tensor scores = all.narrow(0, 0, 7).matmul(all.narrow(0, 7, all.size(0) - 7).t()) / 0.05;
  const at::Tensor labels = batch.relation.labels(0, 7);
  at::Tensor loss = at::zeros({}, all.options());
  for (int64_t row = 0; row < 7; ++row) {
    const at::Tensor candidates = scores[row].masked_select(labels[row] != 0);
    loss = loss + candidates.logsumexp(0) - scores[row][batch.relation.documents_of(row)[0]];
  }
  loss = loss / 7;
  loss.backward();
  Gradient gradient{loss.item<double>(), {}};
  for (const at::Tensor& holder : model.holders())
    gradient.holders.push_back(std::exchange(holder.mutable_grad(), {}));
  return gradient;
}

/// One graph over everything, with any loss.
Gradient whole(const TinyModel& model, const StepBatch& batch, const BatchLoss& loss) {
  const PackedBatch packed = pack(batch.sequences, 1 << 20).at(0);
  const at::Tensor sorted = model(packed.batch);
  const at::Tensor all = at::empty_like(sorted).index_copy(0, at::tensor(packed.rows, at::kLong), sorted);
  const at::Tensor value = loss({all.narrow(0, 0, 7), all.narrow(0, 7, all.size(0) - 7)});
  value.backward();
  Gradient gradient{value.item<double>(), {}};
  for (const at::Tensor& holder : model.holders())
    gradient.holders.push_back(std::exchange(holder.mutable_grad(), {}));
  return gradient;
}

const Loss one_way = [](const Embeddings& embeddings, const Relation& relation, FilterCounts* counts) {
  return info_nce(embeddings, relation, {}, counts);
};

Gradient cached(const TinyModel& model, const StepBatch& batch, World& world, const GradCacheOptions& options,
                const std::vector<LossTerm>& terms = {{one_way}}) {
  const BatchLoss loss(terms, batch.relation);
  GradientSum sum(model.holders());
  const CachedLoss result = accumulate_gradient(
      batch, [&](const PackedBatch& packed) { return model(packed.batch); },
      [&](const Embeddings& embeddings, FilterCounts* counts) { return loss(embeddings, counts); }, sum,
      at::kCPU, world, options);
  return {result.loss, test::whole(sum.finish(world), model.holders(), world)};
}

void expect_close(const Gradient& a, const Gradient& b, double tolerance) {
  EXPECT_NEAR(a.loss, b.loss, tolerance * std::abs(a.loss));
  for (size_t i = 0; i < a.holders.size(); ++i) {
    const double scale = a.holders[i].abs().max().item<double>();
    EXPECT_GT(scale, 0);
    EXPECT_LT((a.holders[i] - b.holders[i]).abs().max().item<double>(), tolerance * scale);
  }
}

class GradCache : public testing::TestWithParam<std::pair<at::ScalarType, double>> {};

INSTANTIATE_TEST_SUITE_P(Types, GradCache,
                         testing::Values(std::pair(at::kDouble, 1e-12), std::pair(at::kFloat, 1e-5)));

TEST_P(GradCache, EqualsThePlainGradientHoweverTheWorkIsCut) {
  const auto [type, tolerance] = GetParam();
  const TinyModel model(type);
  const StepBatch batch = make_batch({0, 7});
  const Gradient expected = plain(model, batch);
  World world;
  for (const int64_t micro_batch_tokens : {1, 9, 17, 40, 100000}) {
    for (const int64_t tile_scores : {1, 40, 100000})
      expect_close(
          expected,
          cached(model, batch, world, {.micro_batch_tokens = micro_batch_tokens, .tile_scores = tile_scores}),
          tolerance);
  }
}

TEST_P(GradCache, DoesNotDependOnTheNumberOfRanks) {
  const auto [type, tolerance] = GetParam();
  const Gradient expected = plain(TinyModel(type), make_batch({0, 7}));
  for (const int ranks : {2, 3, 7}) {
    ThreadRanks(ranks).run([&, type = type, tolerance = tolerance](World& world) {
      const TinyModel model(type);
      const StepBatch batch = make_batch(rows_of_rank(7, world.rank(), world.size()));
      for (const int64_t micro_batch_tokens : {9, 100000})
        expect_close(expected, cached(model, batch, world, {.micro_batch_tokens = micro_batch_tokens}),
                     tolerance);
    });
  }
}

/// Every kind of loss at once: both sides' terms, filters, a sum over rows or not, of some sets or of all.
std::vector<LossTerm> stacked() {
  const InfoNceOptions every = {.temperature = 0.1,
                                .directions = {Direction::query_to_document, Direction::query_to_query,
                                               Direction::document_to_query, Direction::document_to_document},
                                .filter = ScoreFilter{.margin = -0.1}};
  const Loss all_ways = [=](const Embeddings& embeddings, const Relation& relation, FilterCounts* counts) {
    return info_nce(embeddings, relation, every, counts);
  };
  const Loss cut = [=](const Embeddings& embeddings, const Relation& relation, FilterCounts* counts) {
    return matryoshka(all_ways, embeddings, relation, {.dimensions = {3, 6}, .weights = {0.5, 1}}, counts);
  };
  const Loss ordered = [](const Embeddings& embeddings, const Relation& relation, FilterCounts*) {
    return cosent(embeddings, relation);
  };
  return {{cut}, {ordered, 0.5, {1}}, {one_way, 2.0, {0}}};
}

TEST_P(GradCache, StackedLossesDependOnNeitherCutsNorRanks) {
  const auto [type, tolerance] = GetParam();
  const StepBatch whole_batch = make_batch({0, 7});
  const Gradient expected = whole(TinyModel(type), whole_batch, BatchLoss(stacked(), whole_batch.relation));
  for (const int ranks : {1, 2, 3, 7}) {
    ThreadRanks(ranks).run([&, type = type, tolerance = tolerance](World& world) {
      const TinyModel model(type);
      const StepBatch batch = make_batch(rows_of_rank(7, world.rank(), world.size()));
      for (const auto& [micro_batch_tokens, tile_scores] : {std::pair(9, 1), {100000, 60}, {17, 100000}})
        expect_close(
            expected,
            cached(model, batch, world,
                   {.micro_batch_tokens = micro_batch_tokens, .tile_scores = tile_scores}, stacked()),
            tolerance);
    });
  }
}

TEST(GradCache, HoldsOneMicroBatchAtATimeAndEmbedsTheLastOnce) {
  const TinyModel model(at::kFloat);
  const StepBatch batch = make_batch({0, 7});
  World world;
  cached(model, batch, world, {.micro_batch_tokens = 17});
  EXPECT_LE(model.largest_batch, 17);
  const int64_t micro_batches = static_cast<int64_t>(pack(batch.sequences, 17).size());
  EXPECT_GT(micro_batches, 3);
  EXPECT_EQ(model.calls, 2 * micro_batches - 1);
}

TEST(GradCache, SumsLowPrecisionGradientsInFloat32) {
  const at::Tensor holder = at::ones({1}, at::kBFloat16).requires_grad_(true);
  GradientSum sum({holder});
  for (int i = 0; i < 1000; ++i) {  // in bfloat16 the sum would stop at 256
    holder.sum().backward();
    sum.take();
  }
  World world;
  const at::Tensor total = sum.finish(world)[0];
  EXPECT_EQ(total.scalar_type(), at::kFloat);
  EXPECT_EQ(total.item<double>(), 1000);
  EXPECT_FALSE(holder.grad().defined());
}

TEST(GradCache, GivesZerosWhereNoGradientReaches) {
  const at::Tensor used = at::ones({2}).requires_grad_(true), unused = at::ones({3}).requires_grad_(true);
  GradientSum sum({used, unused});
  used.sum().backward();
  sum.take();
  World world;
  const std::vector<at::Tensor> totals = sum.finish(world);
  EXPECT_TRUE(totals[0].equal(at::ones({2})));
  EXPECT_TRUE(totals[1].equal(at::zeros({3})));
}

/// A model on a device that holds the graphs of so many tokens alone, and vectors of so many.
struct SmallMemory {
  const TinyModel& model;
  int64_t with_graph, without;
  mutable std::vector<int64_t> refused = {};

  at::Tensor operator()(const PackedBatch& packed) const {
    const TokenBatch& batch = packed.batch;
    const int64_t most = at::GradMode::is_enabled() ? with_graph : without;
    if (batch.tokens() > most) {
      refused.push_back(batch.tokens());
      if (refused.size() % 2 == 0) throw std::bad_alloc();
      TORCH_CHECK_WITH(OutOfMemoryError, false, "no memory for ", batch.tokens(), " tokens");
    }
    return model(batch);
  }
};

TEST_P(GradCache, WhereMemoryRunsOutTheGradientIsTheSameInSmallerChunks) {
  const auto [type, tolerance] = GetParam();
  const StepBatch batch = make_batch({0, 7});
  const Gradient expected = plain(TinyModel(type), batch);
  struct Limits {
    int64_t with_graph, without, first_try;
  };
  for (const auto& [with_graph, without, first_try] :
       {Limits{20, 1000, 1 << 20}, {20, 20, 100}, {1000, 11, 40}, {9, 9, 17}}) {
    const TinyModel model(type);
    const SmallMemory embed{model, with_graph, without};
    GradientSum sum(model.holders());
    World world;
    const BatchLoss loss({{one_way}}, batch.relation);
    const CachedLoss result = accumulate_gradient(
        batch, std::cref(embed),
        [&](const Embeddings& embeddings, FilterCounts* counts) { return loss(embeddings, counts); }, sum,
        at::kCPU, world, {.micro_batch_tokens = first_try});
    expect_close(expected, {result.loss, test::whole(sum.finish(world), model.holders(), world)}, tolerance);
    EXPECT_LE(result.micro_batch_tokens, std::min(with_graph, without));
    EXPECT_GT(result.micro_batch_tokens, std::min(with_graph, without) / 2);
    EXPECT_GT(embed.refused.size(), 0u);
  }
}

TEST(GradCache, WhereALossRunsOutOfMemoryItsTilesShrink) {
  const StepBatch batch = make_batch({0, 7});
  const Gradient expected = plain(TinyModel(at::kDouble), batch);
  const TinyModel model(at::kDouble);
  const BatchLoss loss({{one_way}}, batch.relation);
  for (const int64_t most_rows : {3, 1, 0}) {
    GradientSum sum(model.holders());
    World world;
    const auto run = [&] {
      return accumulate_gradient(
          batch, [&](const PackedBatch& packed) { return model(packed.batch); },
          [&](const Embeddings& embeddings, FilterCounts* counts) {
            if (embeddings.end - embeddings.begin > most_rows) throw std::bad_alloc();
            return loss(embeddings, counts);
          },
          sum, at::kCPU, world, {});
    };
    if (most_rows == 0) {
      EXPECT_THROW(run(), OutOfMemory);
      continue;
    }
    const CachedLoss result = run();
    expect_close(expected, {result.loss, test::whole(sum.finish(world), model.holders(), world)}, 1e-12);
  }
}

TEST(GradCache, ATextThatDoesNotFitEndsAllRanks) {
  ThreadRanks(3).run([&](World& world) {
    const TinyModel model(at::kFloat);
    const StepBatch batch = make_batch(rows_of_rank(7, world.rank(), world.size()));
    const SmallMemory embed{model, world.rank() == 1 ? 2 : 1000, 1000};
    GradientSum sum(model.holders());
    const BatchLoss loss({{one_way}}, batch.relation);
    const auto run = [&] {
      accumulate_gradient(
          batch, std::cref(embed),
          [&](const Embeddings& embeddings, FilterCounts* counts) { return loss(embeddings, counts); }, sum,
          at::kCPU, world);
    };
    if (world.rank() == 1) {
      EXPECT_THROW(run(), OutOfMemory);
      EXPECT_GT(embed.refused.size(), 2u);
    } else {
      EXPECT_THROW(run(), OtherRankFailed);
      EXPECT_EQ(embed.refused.size(), 0u);
    }
    for (const at::Tensor& holder : model.holders()) EXPECT_FALSE(holder.grad().defined());
  });
}

TEST(GradCache, LeavesTheWeightsAloneWhereTheLossIsNotFinite) {
  const TinyModel model(at::kFloat);
  {
    at::NoGradGuard no_grad;
    model.table[3].fill_(std::numeric_limits<float>::quiet_NaN());
  }
  const StepBatch batch = make_batch({0, 7});
  World world;
  const Gradient gradient = cached(model, batch, world, {.micro_batch_tokens = 17});
  EXPECT_TRUE(std::isnan(gradient.loss));
  EXPECT_EQ(gradient.holders[1].abs().sum().item<double>(), 0);
}

}  // namespace
}  // namespace decovec
