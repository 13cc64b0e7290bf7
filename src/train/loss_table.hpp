// The losses that a recipe names, and how their options are read. Heavy (toml++): include it in one source.
#pragma once
#include <algorithm>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "decovec/loss/cosent.hpp"
#include "decovec/loss/info_nce.hpp"
#include "decovec/loss/matryoshka.hpp"
#include "decovec/loss/scored.hpp"
#include "decovec/loss/triplet.hpp"
#include "decovec/train/recipe.hpp"
#include "train/toml_fields.hpp"

namespace decovec {

/// A loss by name: `read` takes its options from the fields that stand beside the name.
struct NamedLoss {
  std::string_view name;
  Loss (*read)(TomlFields& fields);
  bool needs_scores = false;
  Contrast contrast = Contrast::any;
};

inline Loss read_info_nce(TomlFields& fields) {
  InfoNceOptions options;
  fields.number("temperature", options.temperature, 1e-6);
  fields.choices("directions", options.directions,
                 {{"query_to_document", Direction::query_to_document},
                  {"query_to_positive", Direction::query_to_positive},
                  {"query_to_query", Direction::query_to_query},
                  {"document_to_query", Direction::document_to_query},
                  {"document_to_document", Direction::document_to_document},
                  {"document_to_positive", Direction::document_to_positive}});
  fields.flag("joint", options.joint);
  fields.table("filter", options.filter, [](TomlFields& of_filter, ScoreFilter& filter) {
    of_filter.number("margin", filter.margin, -2);
    of_filter.flag("relative", filter.relative);
  });
  fields.number("in_batch_hardness", options.in_batch_hardness, 0);
  fields.number("hard_negative_hardness", options.hard_negative_hardness, 0);
  fields.check([&] { validate(options); });
  return [options](const Embeddings& embeddings, const Relation& relation, FilterCounts* counts) {
    return info_nce(embeddings, relation, options, counts);
  };
}

inline Loss read_cosent(TomlFields& fields) {
  CosentOptions options;
  fields.positive("scale", options.scale);
  fields.choice("similarity", options.similarity,
                {{"cosine", Similarity::cosine}, {"angle", Similarity::angle}});
  return [options](const Embeddings& embeddings, const Relation& relation, FilterCounts*) {
    return cosent(embeddings, relation, options);
  };
}

inline Loss read_triplet(TomlFields& fields) {
  TripletOptions options;
  fields.number("margin", options.margin, 0);
  fields.choice("similarity", options.similarity,
                {{"cosine", Similarity::cosine},
                 {"euclidean", Similarity::euclidean},
                 {"manhattan", Similarity::manhattan}});
  return [options](const Embeddings& embeddings, const Relation& relation, FilterCounts*) {
    return triplet(embeddings, relation, options);
  };
}

inline Loss read_cosine_mse(TomlFields&) {
  return [](const Embeddings& embeddings, const Relation& relation, FilterCounts*) {
    return cosine_mse(embeddings, relation);
  };
}

inline Loss read_margin_mse(TomlFields& fields) {
  MarginMseOptions options;
  fields.choice("similarity", options.similarity, {{"dot", Similarity::dot}, {"cosine", Similarity::cosine}});
  return [options](const Embeddings& embeddings, const Relation& relation, FilterCounts*) {
    return margin_mse(embeddings, relation, options);
  };
}

inline Loss read_kl_divergence(TomlFields& fields) {
  KlDivergenceOptions options;
  fields.positive("temperature", options.temperature);
  fields.optional("teacher_temperature", options.teacher_temperature,
                  [&](double& value) { fields.positive("teacher_temperature", value); });
  fields.choice("similarity", options.similarity, {{"dot", Similarity::dot}, {"cosine", Similarity::cosine}});
  return [options](const Embeddings& embeddings, const Relation& relation, FilterCounts*) {
    return kl_divergence(embeddings, relation, options);
  };
}

inline constexpr NamedLoss kLosses[] = {
    {"info_nce", read_info_nce},
    {"cosent", read_cosent, /*needs_scores=*/true, Contrast::none},
    {"triplet", read_triplet, /*needs_scores=*/false, Contrast::own},
    {"cosine_mse", read_cosine_mse, /*needs_scores=*/true, Contrast::none},
    {"margin_mse", read_margin_mse, /*needs_scores=*/true, Contrast::own},
    {"kl_divergence", read_kl_divergence, /*needs_scores=*/true, Contrast::own},
};

/// Reads the loss that `name_key` names and its options, with or without matryoshka around it.
inline LossRecipe read_loss(TomlFields& fields, std::string_view name_key) {
  std::vector<std::pair<std::string_view, const NamedLoss*>> choices;
  for (const NamedLoss& loss : kLosses) choices.emplace_back(loss.name, &loss);
  const NamedLoss* named = &kLosses[0];
  fields.choice(name_key, named, choices);

  const size_t first = fields.known().size();
  LossRecipe recipe;
  recipe.loss = named->read(fields);
  recipe.needs_scores = named->needs_scores;
  recipe.contrast = named->contrast;
  std::optional<MatryoshkaOptions> cuts;
  fields.table("matryoshka", cuts, [](TomlFields& of_cuts, MatryoshkaOptions& options) {
    of_cuts.integers("dimensions", options.dimensions, 1);
    if (options.dimensions.empty()) of_cuts.wrong("dimensions", "a list of one or more integers");
    of_cuts.numbers("weights", options.weights, 0);
    of_cuts.integer("dimensions_per_batch", options.dimensions_per_batch, 0);
  });
  if (cuts) {
    fields.check([&] { validate(*cuts); });
    recipe.least_columns = *std::max_element(cuts->dimensions.begin(), cuts->dimensions.end());
    recipe.loss = [loss = recipe.loss, options = *cuts](const Embeddings& embeddings,
                                                        const Relation& relation, FilterCounts* counts) {
      return matryoshka(loss, embeddings, relation, options, counts);
    };
  }
  recipe.description = fmt::format("{}({})", named->name, fields.described(first));
  return recipe;
}

}  // namespace decovec
