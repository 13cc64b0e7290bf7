// Runs on every rank of mpirun at once: what the collectives give, and that training does not depend on
// ranks.
#include "world/ranks.hpp"

#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include "io/temporary_folder.hpp"
#include "train/tiny_run.hpp"

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
  const auto body = [] { throw std::invalid_argument("of rank 0"); };
  if (world->rank() == 0) {
    EXPECT_THROW(on_first_rank(*world, body), std::invalid_argument);
  } else {
    EXPECT_THROW(on_first_rank(*world, body), OtherRankFailed);
  }
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

class RankTraining : public testing::TestWithParam<std::pair<at::ScalarType, double>> {};

INSTANTIATE_TEST_SUITE_P(Types, RankTraining,
                         testing::Values(std::pair(at::kDouble, 1e-10), std::pair(at::kFloat, 1e-5)));

// Each rank also trains the same alone, without the others.
TEST_P(RankTraining, IsThatOfOneRank) {
  const auto [type, tolerance] = GetParam();
  const TemporaryFolder folder;
  Recipe recipe = test::tiny_recipe(folder.path());
  for (StageRecipe& stage : recipe.stages) {
    stage.optimizer = Optimizer::sgd;  // Adam's first steps blow up rounding where a gradient is almost 0
    stage.batch_size = 7;
  }
  Embedder alone = test::tiny_model(Pooling::latent_attention, type);
  Embedder part = test::tiny_model(Pooling::latent_attention, type);
  std::vector<double> losses, losses_alone;
  train(alone, recipe, {.on_step = [&](const StepReport& step) { losses_alone.push_back(step.loss); }});
  recipe.stages[0].micro_batch_tokens = 40 + 10 * world->rank();
  train(part, recipe,
        {.on_step = [&](const StepReport& step) { losses.push_back(step.loss); }, .world = world});
  ASSERT_EQ(losses.size(), losses_alone.size());
  for (size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], losses_alone[i], tolerance * losses[i]);
  EXPECT_LT(largest_relative_difference(alone, part), tolerance);
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
