#include "train/evaluation.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "data/row_source.hpp"
#include "decovec/eval/tasks.hpp"
#include "eval/held_out.hpp"
#include "io/error.hpp"
#include "train/step_batch.hpp"

namespace decovec {
namespace {

// All examples in their order, each with its first positive and all negatives; where scores say what
// documents are worth, with all positives.
RowSource held_out_rows(const Dataset& dataset) {
  const bool scored = dataset.facts().first_unscored < 0;
  const auto draw = [dataset, scored](int64_t index, RandomKey) {
    Example example = dataset.example(index);
    DrawnRow row{.example = index, .query = std::move(example.query), .documents = {}};
    const auto add = [&](const std::vector<std::string>& texts, const std::vector<double>& scores,
                         size_t count, Role role) {
      for (size_t i = 0; i < count; ++i)
        row.documents.push_back(
            {.text = texts[i], .role = role, .score = scores.empty() ? std::nan("") : scores[i]});
    };
    add(example.positives, example.positive_scores, scored ? example.positives.size() : 1, Role::positive);
    add(example.negatives, example.negative_scores, example.negatives.size(), Role::negative);
    row.answers = std::move(example.positives);
    return row;
  };
  return {.name = dataset.name(), .size = dataset.size(), .draw = draw};
}

// The vectors of sequences [sequences, D], in their order.
at::Tensor embedded(const Embedder& model, const std::vector<TokenSequence>& sequences, int64_t tokens) {
  at::Tensor vectors = at::empty({static_cast<int64_t>(sequences.size()), model.dimensions()},
                                 at::TensorOptions(at::kFloat).device(model.device()));
  for (const PackedBatch& packed : pack(sequences, tokens, model.device()))
    vectors.index_copy_(0, at::tensor(packed.rows, at::kLong).to(model.device()),
                        model.embed(packed.batch).to(at::kFloat));
  return vectors;
}

TaskReport measure_dataset(const Embedder& model, const EvaluationRecipe& recipe, const Dataset& dataset,
                           World& world, int64_t tokens) {
  const RowSource source = held_out_rows(dataset);
  std::vector<BatchRow> rows(static_cast<size_t>(source.size));
  for (size_t row = 0; row < rows.size(); ++row) rows[row].example = static_cast<int64_t>(row);
  const StepBatch batch = assemble(
      {{&source, recipe.query_prompt.value_or(""), recipe.document_prompt, recipe.in_batch_negatives}},
      std::move(rows), rows_of_rank(source.size, world.rank(), world.size()),
      [&](std::string_view instruction, std::string_view text) {
        return model.sequence(instruction, text, Truncate::right);
      });
  const at::Tensor own = embedded(model, batch.sequences, tokens);
  const at::Tensor queries = world.gather(own.narrow(0, 0, batch.own.size())),
                   documents = world.gather(own.narrow(0, batch.own.size(), own.size(0) - batch.own.size()));
  return measure(recipe.name, batch.relation, queries, documents);
}

}  // namespace

Evaluations::Evaluations(const Recipe& recipe) {
  for (const EvaluationRecipe& evaluation : recipe.evaluations) {
    const auto has_name = [&](const Set& set) { return set.recipe.name == evaluation.name; };
    if (std::any_of(sets_.begin(), sets_.end(), has_name))
      reject("train: evaluation '{}': expected a name that no other has", evaluation.name);
    if (evaluation.task.empty() == evaluation.files.empty())
      reject("train: evaluation '{}': expected either a task folder or files, got {}", evaluation.name,
             evaluation.task.empty() ? "neither" : "both");
    Set& set = sets_.emplace_back(Set{evaluation, std::nullopt});
    if (!evaluation.files.empty()) set.dataset = Dataset::load(evaluation.name, evaluation.files);
  }
}

std::vector<EvaluatedSet> Evaluations::measure(const Embedder& model, World& world,
                                               int64_t micro_batch_tokens) const {
  const at::NoGradGuard no_graph;
  std::vector<EvaluatedSet> measured;
  std::vector<double> figures;
  for (const Set& set : sets_) {
    TaskReport report;
    if (set.dataset) {
      report = measure_dataset(model, set.recipe, *set.dataset, world, micro_batch_tokens);
    } else {
      EvaluateOptions options;
      options.encode = {
          .prompt = set.recipe.query_prompt, .truncate = Truncate::right, .batch_tokens = micro_batch_tokens};
      options.world = &world;
      report = evaluate(model, set.recipe.task, options);
    }
    for (const auto& [metric, figure] : report.metrics) figures.push_back(figure);
    measured.push_back({set.recipe.name, std::move(report.metrics)});
  }
  // Machines may round apart, and then ranks would differ in what is best.
  at::Tensor of_first = at::tensor(figures, at::kDouble).to(world.device());
  if (world.rank() > 0) of_first.zero_();
  world.reduce(of_first);
  of_first = of_first.cpu();
  const double* figure = of_first.const_data_ptr<double>();
  for (EvaluatedSet& set : measured)
    for (auto& metric : set.metrics) metric.second = *figure++;
  return measured;
}

double figure_of_best(const std::string& best, const std::vector<EvaluatedSet>& sets) {
  std::vector<std::string> names;
  for (const EvaluatedSet& set : sets) {
    for (const auto& [metric, figure] : set.metrics) {
      names.push_back(set.name + "." + metric);
      if (names.back() == best) return metric == "negatives_above" ? -figure : figure;
    }
  }
  fail("train: recipe: best: expected one of {}, got '{}'", fmt::join(names, ", "), best);
}

}  // namespace decovec
