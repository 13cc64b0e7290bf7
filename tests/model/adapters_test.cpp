// Adapters against PEFT (tests/data/adapters_reference.py), and what must hold for all of them.
#include <gtest/gtest.h>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "decovec/model/embedder.hpp"
#include "model/adapter_cases.hpp"
#include "model/finite_differences.hpp"
#include "model/furthest.hpp"

namespace decovec {
namespace {

using test::furthest;
using test::AdapterCases;
using test::AdapterFolder;
using test::states_of;

constexpr double kTolerance = 1e-5;

TEST(Adapters, StatesEqualPeft) {
  const AdapterCases cases;
  for (const Json& one : cases.all.at("cases")) {
    const auto name = one.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const AdapterFolder folder(cases, one);
    Embedder model = folder.load(/*merge=*/false);
    EXPECT_LE(furthest(states_of(model, cases.families.sequences()), cases.expected.tensor(name)),
              kTolerance);
    const at::Tensor merged = cases.expected.tensor("merged." + name);
    model.merge_adapters();
    EXPECT_LE(furthest(states_of(model, cases.families.sequences()), merged), kTolerance);
    for (const Parameter& parameter : model.parameters()) EXPECT_FALSE(is_adapter_weight(parameter.name));
    EXPECT_TRUE(states_of(folder.load(/*merge=*/true), cases.families.sequences())
                    .equal(states_of(model, cases.families.sequences())));
  }
}

// See Families.Bfloat16IsAsNearToExactAsTransformers.
TEST(Adapters, Bfloat16IsAsNearToExactAsPeft) {
  const AdapterCases cases;
  for (const Json& row : cases.all.at("bfloat16")) {
    const auto name = row.at("name").get<std::string>();
    SCOPED_TRACE(name);
    const AdapterFolder folder(cases, cases.find(name), at::kBFloat16);
    const at::Tensor exact = cases.expected.tensor("bfloat16." + name).to(at::kDouble);
    for (const bool merge : {false, true}) {
      const Embedder model = folder.load(merge);
      for (const Parameter& parameter : model.parameters())
        EXPECT_EQ(parameter.holder.scalar_type(),
                  is_adapter_weight(parameter.name) ? at::kFloat : at::kBFloat16);
      const at::Tensor states = states_of(model, cases.families.sequences()).to(at::kDouble);
      const double error = ((states - exact).norm() / exact.norm()).item<double>();
      EXPECT_LE(error, 1.25 * row.at(merge ? "error_merged" : "error_beside").get<double>());
    }
  }
}

TEST(Adapters, AStateIsTheSameAloneAndInABatch) {
  const AdapterCases cases;
  for (const char* name : {"lora_all", "dora_fused", "embedding"}) {
    SCOPED_TRACE(name);
    const Embedder model = AdapterFolder(cases, cases.find(name)).load(/*merge=*/false);
    const std::vector<TokenSequence> sequences = cases.families.sequences();
    const at::Tensor together = states_of(model, sequences);
    int64_t begin = 0;
    for (const TokenSequence& sequence : sequences) {
      const auto length = static_cast<int64_t>(sequence.ids.size());
      EXPECT_TRUE(states_of(model, {sequence}).equal(together.narrow(0, begin, length))) << length;
      begin += length;
    }
  }
}

// The gradients of every tensor of the adapter, the base frozen; DoRA's lengths are constants in them.
TEST(Adapters, GradientsEqualPeft) {
  const AdapterCases cases;
  int compared = 0;
  for (const char* name : {"lora", "dora", "dora_fused", "embedding", "embedding_dora"}) {
    for (const bool checkpointing : {false, true}) {
      SCOPED_TRACE(fmt::format("{}{}", name, checkpointing ? ", checkpointed" : ""));
      const Embedder model = AdapterFolder(cases, cases.find(name)).load(/*merge=*/false);
      const std::vector<TokenSequence> sequences = cases.families.sequences();
      const at::Tensor direction =
          test::hashed_weight("direction", cases.expected.tensor(name).sizes().vec(), 1, 0);
      for (const Parameter& parameter : model.parameters())
        if (is_adapter_weight(parameter.name)) parameter.holder.requires_grad_(true);
      int64_t begin = 0;
      for (const TokenSequence& sequence : sequences) {
        const auto length = static_cast<int64_t>(sequence.ids.size());
        const TokenBatch batch = pack({sequence}, 1 << 20).at(0).batch;
        const at::Tensor states =
            forward(model.transformer, batch, {.gradient_checkpointing = checkpointing});
        (states * direction.narrow(0, begin, length)).sum().backward();
        begin += length;
      }
      const std::string prefix =
          fmt::format("gradient.{}.base_model.model.{}", name, model.adapters.back().path_prefix);
      for (const Parameter& parameter : model.parameters()) {
        if (!is_adapter_weight(parameter.name)) {
          EXPECT_FALSE(parameter.holder.grad().defined()) << parameter.name;
          continue;
        }
        ASSERT_TRUE(parameter.gradient().defined()) << parameter.name;
        const at::Tensor expected = cases.expected.tensor(prefix + parameter.name);
        const double size = std::max(1.0, expected.abs().max().item<double>());
        EXPECT_LE(furthest(parameter.gradient(), expected), kTolerance * size) << parameter.name;
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 200);
}

// Every weight's gradient, the base's included.
TEST(Adapters, GradientsOfLoraAreFiniteDifferences) {
  const AdapterCases cases;
  for (const char* name : {"lora_all", "embedding"}) {
    SCOPED_TRACE(name);
    for (const bool checkpointing : {false, true})
      test::expect_finite_differences(
          AdapterFolder(cases, cases.find(name)).load(/*merge=*/false, {.dtype = at::kDouble}),
          {.gradient_checkpointing = checkpointing});
  }
}

TEST(Adapters, ASumThatFloat16CannotHoldIsRefused) {
  const AdapterCases cases;
  for (const char* name : {"lora", "embedding"}) {
    Embedder model = AdapterFolder(cases, cases.find(name)).load(/*merge=*/false, {.dtype = at::kHalf});
    for (const Parameter& parameter : model.parameters())
      if (parameter.name.ends_with("lora_B.weight") || parameter.name.ends_with("lora_embedding_B"))
        parameter.value().fill_(1e6);
    EXPECT_THROW(model.merge_adapters(), std::runtime_error) << name;
  }
}

TEST(Adapters, MergingLeavesCopiesOfTheModelAlone) {
  const AdapterCases cases;
  const Embedder model = AdapterFolder(cases, cases.find("embedding")).load(/*merge=*/false);
  const at::Tensor before = states_of(model, cases.families.sequences());
  Embedder copy = model;
  copy.merge_adapters();
  EXPECT_TRUE(states_of(model, cases.families.sequences()).equal(before));
  EXPECT_TRUE(copy.adapters.back().merged);
  EXPECT_FALSE(model.adapters.back().merged);
}

}  // namespace
}  // namespace decovec
