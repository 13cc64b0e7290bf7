#include "decovec/search/top_k.hpp"

#include <gtest/gtest.h>

#include "decovec/world/random.hpp"

namespace decovec {
namespace {

// The definition: every dot product, then a full sort.
void expect_brute_force(const at::Tensor& queries, const at::Tensor& corpus, int64_t k, int64_t tile_bytes) {
  const Neighbours found = top_k(queries, corpus, k, {.tile_bytes = tile_bytes});
  const int64_t kept = std::min(k, corpus.size(0));
  ASSERT_EQ(found.indices.sizes(), (std::vector<int64_t>{queries.size(0), kept}));
  ASSERT_EQ(found.scores.sizes(), found.indices.sizes());
  ASSERT_EQ(found.indices.scalar_type(), at::kLong);
  ASSERT_EQ(found.scores.scalar_type(), at::kFloat);
  const at::Tensor all = at::matmul(queries.to(at::kDouble), corpus.to(at::kDouble).t());
  for (int64_t q = 0; q < queries.size(0); ++q) {
    std::vector<std::pair<double, int64_t>> order;
    for (int64_t i = 0; i < corpus.size(0); ++i) order.emplace_back(-all[q][i].item<double>(), i);
    std::sort(order.begin(), order.end());
    for (int64_t i = 0; i < kept; ++i) {
      EXPECT_EQ(found.indices[q][i].item<int64_t>(), order[i].second) << "query " << q << " rank " << i;
      EXPECT_EQ(found.scores[q][i].item<double>(), -order[i].first) << "query " << q << " rank " << i;
    }
  }
}

// Small integers: products are exact in every float type, and there are many ties.
at::Tensor integers(uint64_t seed, std::vector<int64_t> shape) {
  return random_normal(RandomKey(seed), shape, 1.0).round_().clamp_(-2, 2);
}

TEST(TopK, IsTheBruteForceOrderForEveryTiling) {
  const at::Tensor queries = integers(1, {13, 4}), corpus = integers(2, {57, 4});
  for (const int64_t tile_bytes : {int64_t{1}, int64_t{100}, int64_t{2000}, int64_t{10000}, int64_t{1} << 26})
    for (const int64_t k : {1, 5, 56, 57, 100}) expect_brute_force(queries, corpus, k, tile_bytes);
}

TEST(TopK, TakesHalfPrecisionAndDoublesAndViews) {
  const at::Tensor queries = integers(3, {5, 6}), corpus = integers(4, {31, 6});
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf, at::kDouble})
    expect_brute_force(queries.to(dtype), corpus.to(dtype), 7, 1 << 20);
  expect_brute_force(queries.t().contiguous().t(), corpus.slice(0, 0, 31, 2), 7, 1 << 20);
}

TEST(TopK, DoesNotRoundScoresOfBfloat16) {
  // 256 + 1 is not a bfloat16 number, so rounded scores would tie.
  const at::Tensor query = at::ones({1, 2}).to(at::kBFloat16);
  const at::Tensor corpus = at::tensor({256.f, 0.f, 256.f, 1.f}).view({2, 2}).to(at::kBFloat16);
  const Neighbours found = top_k(query, corpus, 1);
  EXPECT_EQ(found.indices.item<int64_t>(), 1);
  EXPECT_EQ(found.scores.item<float>(), 257.f);
}

TEST(TopK, OrdersZerosOfBothSignsInfinitiesAndTinyNumbers) {
  const float infinity = std::numeric_limits<float>::infinity(), tiny = 1e-45f;
  const at::Tensor corpus = at::tensor({-0.f, 0.f, -infinity, 3.f, -tiny, infinity, -0.f, tiny}).view({8, 1});
  const Neighbours found = top_k(at::ones({1, 1}), corpus, 8);
  // Flushing of denormals is the product's business: what may not happen is another order.
  EXPECT_EQ(found.indices.slice(1, 0, 2).equal(at::tensor({int64_t{5}, int64_t{3}}).view({1, 2})), true);
  EXPECT_EQ(found.indices[0][7].item<int64_t>(), 2);
  const at::Tensor zeros = found.indices[0].masked_select(found.scores[0] == 0);
  EXPECT_TRUE(zeros.equal(std::get<0>(zeros.sort())));
  EXPECT_TRUE(found.scores[0].equal(std::get<0>(found.scores[0].sort(0, true))));
}

TEST(TopK, ServesNothing) {
  EXPECT_EQ(top_k(at::zeros({3, 4}), at::zeros({0, 4}), 5).indices.sizes(), (std::vector<int64_t>{3, 0}));
  EXPECT_EQ(top_k(at::zeros({0, 4}), at::zeros({9, 4}), 5).scores.sizes(), (std::vector<int64_t>{0, 5}));
  EXPECT_EQ(top_k(at::zeros({0, 4}), at::zeros({0, 4}), 5).scores.sizes(), (std::vector<int64_t>{0, 0}));
  const Neighbours flat = top_k(at::zeros({2, 0}), at::zeros({3, 0}), 2);
  EXPECT_TRUE(flat.indices.equal(at::arange(2).expand({2, 2})));
}

TEST(TopK, NamesTheScoreThatIsNotANumber) {
  at::Tensor corpus = at::ones({40, 2});
  corpus[33][1] = std::nan("");
  try {
    top_k(at::ones({3, 2}), corpus, 2, {.tile_bytes = 64});
    FAIL() << "no error";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("query 0 and corpus row 33"), std::string::npos) << error.what();
  }
}

TEST(TopK, RefusesWhatDoesNotFit) {
  const at::Tensor matrix = at::ones({3, 2});
  EXPECT_THROW(top_k(matrix, at::ones({3, 4}), 1), std::invalid_argument);
  EXPECT_THROW(top_k(matrix, at::ones({3}), 1), std::invalid_argument);
  EXPECT_THROW(top_k(at::Tensor(), matrix, 1), std::invalid_argument);
  EXPECT_THROW(top_k(matrix.to(at::kLong), matrix.to(at::kLong), 1), std::invalid_argument);
  EXPECT_THROW(top_k(matrix, matrix, 0), std::invalid_argument);
  EXPECT_THROW(top_k(matrix, matrix, 1, {.tile_bytes = 0}), std::invalid_argument);
}

TEST(TopK, LeavesNoGraph) {
  const at::Tensor rows = at::ones({3, 2}).set_requires_grad(true);
  EXPECT_FALSE(top_k(rows, rows, 1).scores.requires_grad());
}

}  // namespace
}  // namespace decovec
