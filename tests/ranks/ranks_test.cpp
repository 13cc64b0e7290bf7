// Runs on every rank of mpirun at once: what the collectives give, and that training does not depend on
// ranks.
#include "world/ranks.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "decovec/loss/info_nce.hpp"
#include "io/temporary_folder.hpp"
#include "train/fixed_rows.hpp"
#include "train/grad_cache.hpp"
#include "train/tiny_run.hpp"
#include "train/weights.hpp"
#include "train/whole.hpp"

namespace decovec {
namespace {

namespace fs = std::filesystem;

World* world = nullptr;

TEST(Mpi, SumsOverTheRanks) {
  const int64_t size = world->size(), rank = world->rank();
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kLong, at::kBFloat16, at::kHalf}) {
    at::Tensor values = (at::arange(6).view({2, 3}) + rank).to(type);
    world->reduce(values);
    const at::Tensor expected = (at::arange(6).view({2, 3}) * size + size * (size - 1) / 2).to(type);
    EXPECT_TRUE(values.equal(expected)) << at::toString(type);
  }
  at::Tensor whole = at::full({3, 4}, rank, at::kDouble), column = whole.select(1, 2);
  world->reduce(column);
  EXPECT_EQ(whole.sum().item<double>(), static_cast<double>(9 * rank + 3 * (size * (size - 1) / 2)));
  at::Tensor none = at::empty({0}, at::kFloat);
  world->reduce(none);
  at::Tensor bytes = at::zeros({2}, at::kByte);
  if (size > 1) {
    EXPECT_THROW(world->reduce(bytes), std::invalid_argument);
  }
}

TEST(Mpi, EachRankGetsItsPartOfTheSum) {
  const int64_t size = world->size(), rank = world->rank();
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kLong}) {
    std::vector<int64_t> sizes;  // rank r gets 2r: rank 0 nothing
    for (int64_t r = 0; r < size; ++r) sizes.push_back(2 * r);
    const int64_t all = size * (size - 1);
    const at::Tensor own = world->reduce_scatter((at::arange(all) + rank).to(type), sizes);
    const at::Tensor sum = (at::arange(all) * size + size * (size - 1) / 2).to(type);
    EXPECT_TRUE(own.equal(sum.narrow(0, rank * (rank - 1), 2 * rank))) << at::toString(type);
    EXPECT_EQ(own.scalar_type(), type);
  }
  if (size > 1) {
    EXPECT_THROW(world->reduce_scatter(at::ones({3}), {1}), std::invalid_argument);
  }
}

TEST(Mpi, GathersRowsInTheOrderOfTheRanks) {
  const int64_t size = world->size(), rank = world->rank();
  // Rank r has r rows: rank 0 has none.
  const at::Tensor own = at::full({rank, 2, 3}, rank, at::kFloat).transpose(1, 2);
  const at::Tensor all = world->gather(own);
  ASSERT_EQ(all.sizes(), (std::vector<int64_t>{size * (size - 1) / 2, 3, 2}));
  int64_t row = 0;
  for (int64_t r = 0; r < size; ++r)
    for (int64_t i = 0; i < r; ++i) EXPECT_TRUE(all[row++].eq(r).all().item<bool>());
  EXPECT_FALSE(world->gather(at::ones({1, 2}, at::requires_grad())).requires_grad());
  EXPECT_EQ(world->gather(at::ones({1, 2}, at::kBFloat16)).scalar_type(), at::kBFloat16);
}

TEST(Mpi, RefusesRowsThatDifferOnAllRanks) {
  if (world->size() == 1) GTEST_SKIP() << "needs two ranks";
  EXPECT_THROW(world->gather(at::ones({1, 2 + world->rank() % 2})), std::invalid_argument);
  EXPECT_THROW(world->gather(at::ones({})), std::invalid_argument);
}

TEST(Mpi, AFailureOfTheFirstRankEndsAll) {
  on_first_rank(*world, [&] { EXPECT_EQ(world->rank(), 0); });
  EXPECT_EQ(of_each_rank(*world, world->rank()).back(), world->size() - 1);
  const auto body = [] { throw std::invalid_argument("of rank 0"); };
  if (world->rank() == 0) {
    EXPECT_THROW(on_first_rank(*world, body), std::invalid_argument);
  } else {
    EXPECT_THROW(on_first_rank(*world, body), OtherRankFailed);
  }
}

TEST(Mpi, OfSeveralRanksThatFailTheFirstTells) {
  const int last = world->size() - 1;
  const auto body = [&] {
    if (world->rank() >= last - 1) throw std::invalid_argument("of rank " + std::to_string(world->rank()));
  };
  if (world->rank() == std::max(last - 1, 0)) {
    EXPECT_THROW(on_all_ranks(*world, body), std::invalid_argument);
  } else {
    EXPECT_THROW(on_all_ranks(*world, body), OtherRankFailed);
  }
  on_all_ranks(*world, [] {});
}

double largest_relative_difference(const Embedder& a, const Embedder& b) {
  double largest = 0;
  const std::vector<at::Tensor> left = test::weights_of(a), right = test::weights_of(b);
  for (size_t i = 0; i < left.size(); ++i) {
    const double scale = left[i].abs().max().item<double>();
    largest = std::max(largest, (left[i] - right[i]).abs().max().item<double>() / scale);
  }
  return largest;
}

/// Where rank 0 alone made it, all ranks use it.
std::string of_first_rank(std::string text) {
  const int64_t bytes = world->rank() == 0 ? std::ssize(text) : 0;
  const at::Tensor all = world->gather(at::from_blob(text.data(), {bytes}, at::kChar).clone());
  return {static_cast<const char*>(all.const_data_ptr()), static_cast<size_t>(all.numel())};
}

class RankTraining : public testing::TestWithParam<std::tuple<at::ScalarType, double, Optimizer>> {
 protected:
  const at::ScalarType type_ = std::get<0>(GetParam());
  const double tolerance_ = std::get<1>(GetParam());
  const TemporaryFolder folder_;
  Recipe recipe_ = test::tiny_recipe(folder_.path());

  void SetUp() override {
    for (StageRecipe& stage : recipe_.stages) {
      stage.optimizer = std::get<2>(GetParam());
      stage.batch_size = 7;
    }
  }
  Embedder model() const { return test::tiny_model(Pooling::latent_attention, type_); }
};

// Where a gradient is almost 0, Adam's update is the sign of rounding, whose size in float32 shows. So of
// Adam float64 speaks; in float32 optimizer_test.cpp holds its slices equal.
INSTANTIATE_TEST_SUITE_P(Types, RankTraining,
                         testing::Values(std::tuple(at::kDouble, 1e-10, Optimizer::sgd),
                                         std::tuple(at::kDouble, 1e-10, Optimizer::adamw),
                                         std::tuple(at::kFloat, 1e-5, Optimizer::sgd)));

// Each rank also trains the same alone, without the others.
TEST_P(RankTraining, IsThatOfOneRank) {
  recipe_.evaluations = {{.name = "held_out", .files = recipe_.data[0].files, .query_prompt = "find: "}};
  Embedder alone = model(), part = model();
  std::vector<double> losses, losses_alone;
  std::vector<EvaluationReport> measured, measured_alone;
  train(alone, recipe_,
        {.on_step = [&](const StepReport& step) { losses_alone.push_back(step.loss); },
         .on_evaluation = [&](const EvaluationReport& report) { measured_alone.push_back(report); }});
  recipe_.stages[0].micro_batch_tokens = 40 + 10 * world->rank();
  train(part, recipe_,
        {.on_step =
             [&](const StepReport& step) {
               losses.push_back(step.loss);
               EXPECT_EQ(step.micro_batch_tokens, step.stage == "first" ? 40 : 64);
             },
         .on_evaluation = [&](const EvaluationReport& report) { measured.push_back(report); },
         .world = world});
  ASSERT_EQ(measured.size(), measured_alone.size());
  for (size_t i = 0; i < measured.size(); ++i)
    for (size_t m = 0; m < measured[i].sets[0].metrics.size(); ++m)
      EXPECT_NEAR(measured[i].sets[0].metrics[m].second, measured_alone[i].sets[0].metrics[m].second, 1e-5);
  ASSERT_EQ(losses.size(), losses_alone.size());
  for (size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], losses_alone[i], tolerance_ * losses[i]);
  EXPECT_LT(largest_relative_difference(alone, part), tolerance_);
}

TEST_P(RankTraining, GoesOnWithAnyNumberOfRanks) {
  const TemporaryFolder of_first;
  const fs::path shared = of_first_rank(of_first.path().string());
  const auto train_to = [&](Embedder& model, int64_t step, bool resume, World* together, const fs::path& at) {
    std::stop_source stop;
    train(model, recipe_,
          {.checkpoints = at,
           .resume = resume,
           .on_step =
               [&](const StepReport& report) {
                 if (report.total_step == step) stop.request_stop();
               },
           .stop = stop.get_token(),
           .world = together});
  };
  Embedder alone = model(), first_part = model(), resumed_alone = model();
  train(alone, recipe_);
  train_to(first_part, 3, false, world, shared / "by_all");
  fs::copy(shared / "by_all", folder_.path() / "by_all", fs::copy_options::recursive);
  train_to(resumed_alone, -1, true, nullptr, folder_.path() / "by_all");
  EXPECT_LT(largest_relative_difference(alone, resumed_alone), tolerance_);

  Embedder resumed_together = model();
  if (world->rank() == 0) {
    Embedder first_part_alone = model();
    train_to(first_part_alone, 5, false, nullptr, shared / "by_one");
  }
  on_all_ranks(*world, [] {});
  train_to(resumed_together, -1, true, world, shared / "by_one");
  EXPECT_LT(largest_relative_difference(alone, resumed_together), tolerance_);
  on_all_ranks(*world, [] {});  // before rank 0 removes the folder
}

// The last rank's device holds no graphs of more than `most` tokens.
std::vector<at::Tensor> gradient_with(const Embedder& model, int64_t most) {
  const Dataset definitions = test::tiny_definitions();
  const RowSource source = test::fixed_rows(
      "definitions", {test::drawn(definitions, 0, 1, {0, 1, 2}), test::drawn(definitions, 1, 0, {}),
                      test::drawn(definitions, 3, 0, {0}), test::drawn(definitions, 6, 0, {0})});
  std::vector<BatchRow> rows;
  for (int64_t i = 0; i < 4; ++i) rows.push_back({.dataset = 0, .example = i});
  const StepBatch batch =
      assemble({{&source, "find: ", "text: ", true}}, rows, rows_of_rank(4, world->rank(), world->size()),
               [&](std::string_view instruction, std::string_view text) {
                 return model.sequence(instruction, text, Truncate::right);
               });
  const Weights weights = make_weights(model.parameters(), *world);
  const TrainableScope trainable(weights);
  GradientSum sum(weights.holders);
  const CachedLoss result = accumulate_gradient(
      batch,
      [&](const PackedBatch& packed) {
        const TokenBatch& tokens = packed.batch;
        const bool last = world->rank() == world->size() - 1;
        if (last && at::GradMode::is_enabled() && tokens.tokens() > most) throw std::bad_alloc();
        return model.embed(tokens);
      },
      [&](const Embeddings& embeddings, FilterCounts*) { return info_nce(embeddings, batch.relation); }, sum,
      at::kCPU, *world);
  return test::whole(sum.finish(*world), weights.holders, *world);
}

TEST(Ranks, WhereMemoryRunsOutOnOneAllGoOnOrAllEnd) {
  const Embedder model = test::tiny_model(Pooling::mean, at::kDouble);
  const std::vector<at::Tensor> expected = gradient_with(model, 1 << 20), found = gradient_with(model, 30);
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_LT((expected[i] - found[i]).abs().max().item<double>(),
              1e-10 * expected[i].abs().max().item<double>());
  if (world->rank() == world->size() - 1) {
    EXPECT_THROW(gradient_with(model, 3), OutOfMemory);
  } else {
    EXPECT_THROW(gradient_with(model, 3), OtherRankFailed);
  }
}

// An adapter alone, with dropout: its lots are a text's, whichever rank computes it.
TEST_P(RankTraining, OfAnAdapterWithDropoutIsThatOfOneRank) {
  if (std::get<2>(GetParam()) != Optimizer::sgd) GTEST_SKIP() << "Adam's first steps blow up rounding";
  for (StageRecipe& stage : recipe_.stages) {
    stage.hidden_dropout = 0.1;
    stage.layer_decay = 0.8;
  }
  for (const bool dora : {false, true}) {
    recipe_.lora = AdapterConfig{.rank = 3,
                                 .alpha = 9,
                                 .dropout = 0.2,
                                 .rslora = !dora,
                                 .dora = dora,
                                 .targets = {.pattern = "all-linear"}};
    recipe_.stages[0].micro_batch_tokens = 64;
    Embedder alone = test::tiny_model(Pooling::latent_attention, type_);
    Embedder part = test::tiny_model(Pooling::latent_attention, type_);
    train(alone, recipe_);
    recipe_.stages[0].micro_batch_tokens = 40 + 10 * world->rank();
    recipe_.stages[1].gradient_checkpointing = world->rank() % 2 == 0;
    train(part, recipe_, {.world = world});
    EXPECT_LT(largest_relative_difference(alone, part), tolerance_);
  }
}

TEST(Ranks, ThatDifferAreRefused) {
  if (world->size() == 1) GTEST_SKIP() << "needs two ranks";
  const TemporaryFolder folder;
  const auto error_of = [&](const Recipe& recipe) -> std::string {
    Embedder model = test::tiny_model();
    try {
      train(model, recipe, {.world = world});
    } catch (const OtherRankFailed&) {
      return "other";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  const bool first = world->rank() == 0, last = world->rank() + 1 == world->size();
  Recipe recipe = test::tiny_recipe(folder.path());
  recipe.stages[0].steps = last ? 5 : 4;
  std::string error = error_of(recipe);
  const std::string who = "rank " + std::to_string(world->size() - 1);
  EXPECT_EQ(error, first ? "train: stage.first.steps: " + who +
                               " has 5, rank 0 4; start all ranks with the same recipe, data and model"
                         : "other");
  recipe = test::tiny_recipe(folder.path());
  if (last)
    std::ofstream(recipe.data[0].files[0], std::ios::app) << R"({"query": "x", "pos": ["y"]})" << '\n';
  error = error_of(recipe);
  EXPECT_EQ(error.find("train: data.definitions."), first ? 0 : std::string::npos) << error;
  recipe = test::tiny_recipe(folder.path());
  recipe.stages[0].steps = recipe.stages[1].steps = 1;
  EXPECT_EQ(error_of(recipe), "");
}

}  // namespace
}  // namespace decovec

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::unique_ptr<decovec::World> joined = decovec::join_world(at::kCPU);
  decovec::world = joined.get();
  const int64_t failed = decovec::sum_over_ranks(*joined, RUN_ALL_TESTS());
  if (joined->rank() == 0) std::printf("%d ranks\n", joined->size());
  return failed == 0 ? 0 : 1;
}
