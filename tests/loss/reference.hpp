// The cases of tests/data/loss, and what several tests ask of any loss.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include <ATen/ATen.h>

#include "decovec/loss/embeddings.hpp"

namespace decovec::test {

/// A batch with what its loss is expected to be.
struct LossCase {
  std::string name;
  RelationFacts facts;
  at::Tensor queries, documents, guide_queries, guide_documents;
  double value = 0;
  at::Tensor query_gradient, document_gradient;
  int64_t left_out = 0;  ///< by a filter
};

inline at::Tensor matrix(const nlohmann::json& rows) {
  std::vector<at::Tensor> result;
  for (const auto& row : rows) result.push_back(at::tensor(row.get<std::vector<double>>(), at::kDouble));
  return at::stack(result);
}

inline nlohmann::json read_json(const std::string& name) {
  const std::filesystem::path data = std::getenv("DECOVEC_TEST_DATA");
  std::ifstream file(data / "loss" / name);
  return nlohmann::json::parse(file);
}

inline std::vector<LossCase> loss_cases() {
  std::vector<LossCase> cases;
  for (const auto& json : read_json("losses.json")) {
    LossCase& found = cases.emplace_back();
    found.name = json.at("name");
    const auto& facts = json.at("facts");
    found.facts = {.owner = facts.at("owner"),
                   .pool = facts.at("pool"),
                   .text = facts.at("text"),
                   .answers = facts.at("answers"),
                   .query_text = facts.value("query_text", std::vector<uint64_t>()),
                   .score = facts.value("score", std::vector<double>())};
    for (const std::string role : facts.at("role"))
      found.facts.role.push_back(role == "positive"  ? Role::positive
                                 : role == "curated" ? Role::curated
                                 : role == "scored"  ? Role::scored
                                                     : Role::negative);
    found.queries = matrix(json.at("queries"));
    found.documents = matrix(json.at("documents"));
    if (json.contains("guide_queries")) {
      found.guide_queries = matrix(json.at("guide_queries"));
      found.guide_documents = matrix(json.at("guide_documents"));
    }
    found.value = json.at("value");
    found.left_out = json.value("left_out", 0);
    found.query_gradient = matrix(json.at("query_gradient"));
    found.document_gradient = matrix(json.at("document_gradient"));
  }
  return cases;
}

inline LossCase loss_case(const std::string& name) {
  for (const LossCase& found : loss_cases())
    if (found.name == name) return found;
  throw std::runtime_error("no case " + name);
}

/// Differences count against the larger of 1 and the value.
inline void expect_close(const at::Tensor& value, const at::Tensor& expected, double tolerance) {
  ASSERT_EQ(value.sizes(), expected.sizes());
  const at::Tensor wanted = expected.to(at::kDouble);
  const double worst =
      ((value.to(at::kDouble) - wanted).abs() / wanted.abs().clamp_min(1.0)).max().item<double>();
  EXPECT_LE(worst, tolerance) << value << "\nexpected\n" << expected;
}

struct Evaluated {
  double value = 0;
  at::Tensor query_gradient, document_gradient;
};

/// A loss as the sum of the shares between the cuts, each with a backward pass of its own; no cuts: whole.
inline Evaluated evaluate(const Loss& loss, const Embeddings& embeddings, const Relation& relation,
                          at::ScalarType dtype = at::kDouble, const std::vector<int64_t>& cuts = {}) {
  Embeddings rows = embeddings;
  rows.queries = embeddings.queries.to(dtype).detach().clone().requires_grad_();
  rows.documents = embeddings.documents.to(dtype).detach().clone().requires_grad_();
  Evaluated result;
  const std::vector<int64_t> all = {0, relation.queries()};
  const std::vector<int64_t>& ends = cuts.empty() ? all : cuts;
  for (size_t i = 1; i < ends.size(); ++i) {
    rows.begin = ends[i - 1];
    rows.end = ends[i];
    const at::Tensor share = loss(rows, relation, nullptr);
    EXPECT_EQ(share.dim(), 0);
    if (share.requires_grad()) share.backward();
    result.value += share.item<double>();
  }
  const auto gradient_of = [](const at::Tensor& leaf) {
    return leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf, leaf.options().requires_grad(false));
  };
  result.query_gradient = gradient_of(rows.queries);
  result.document_gradient = gradient_of(rows.documents);
  return result;
}

}  // namespace decovec::test
