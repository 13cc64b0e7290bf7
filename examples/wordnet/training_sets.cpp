#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include <decovec/search/bm25.hpp>

#include "data_sets.hpp"

namespace wordnet {
namespace {

using decovec::Dataset;
using decovec::Example;
using decovec::RandomKey;

const Concept& at(const Collection& collection, int64_t index) {
  return collection.concepts[static_cast<size_t>(index)];
}

bool in_training(const Collection& collection, int64_t index) {
  return collection.split[static_cast<size_t>(index)] == Split::train;
}

bool contains(const std::vector<std::string>& texts, const std::string& text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

// Definition to the documents of broader concepts; BM25 over the training concepts' documents gives the
// negatives.
Dataset broader_set(const Collection& collection, const TrainingSetOptions& options) {
  std::vector<int64_t> candidates;
  std::vector<std::string> documents;
  for (const int64_t parent : collection.parents)
    if (in_training(collection, parent)) {
      candidates.push_back(parent);
      documents.push_back(document(at(collection, parent)));
    }
  const decovec::Bm25 bm25(documents);

  std::vector<Example> examples;
  for (int64_t i = 0; i < static_cast<int64_t>(collection.concepts.size()); ++i) {
    if (!in_training(collection, i)) continue;
    Example example{.query = at(collection, i).definition, .positives = {}, .negatives = {}};
    for (const int64_t parent : at(collection, i).broader)
      if (in_training(collection, parent)) example.positives.push_back(document(at(collection, parent)));
    if (example.positives.empty()) continue;
    const std::vector<int64_t> above = ancestors(collection.concepts, i);
    // Twice as many as asked for, and a few: ancestors and the concept itself are left out of them.
    for (const auto& [found, score] : bm25.top(example.query, 2 * options.hard_negatives + 8)) {
      if (static_cast<int64_t>(example.negatives.size()) == options.hard_negatives) break;
      const int64_t candidate = candidates[static_cast<size_t>(found)];
      const std::string& text = documents[static_cast<size_t>(found)];
      const bool answer = candidate == i || std::find(above.begin(), above.end(), candidate) != above.end();
      if (!answer && !contains(example.positives, text) && !contains(example.negatives, text))
        example.negatives.push_back(text);
    }
    examples.push_back(std::move(example));
  }
  return {"broader", std::move(examples)};
}

struct Member {
  int64_t concept_index;
  int64_t label;
};

// Draws texts until `count` different ones are accepted, or enough draws were in vain.
std::vector<std::string> draw_texts(RandomKey key, int64_t count,
                                    const std::function<std::optional<std::string>(RandomKey)>& draw,
                                    const std::vector<std::string>& taken) {
  std::vector<std::string> texts;
  for (int64_t attempt = 0; attempt < 50 * count && static_cast<int64_t>(texts.size()) < count; ++attempt) {
    std::optional<std::string> text = draw(key.with(static_cast<uint64_t>(attempt)));
    if (text && !contains(taken, *text) && !contains(texts, *text)) texts.push_back(std::move(*text));
  }
  return texts;
}

// NV-Embed's example-based classes: a positive is another member of the class, a negative one of another
// class.
Dataset class_set(const std::string& name, const std::vector<Member>& members,
                  const std::function<std::string(int64_t)>& text_of, RandomKey key,
                  const TrainingSetOptions& options) {
  std::map<int64_t, std::vector<int64_t>> by_label;
  for (const Member& member : members) by_label[member.label].push_back(member.concept_index);

  std::vector<Example> examples;
  for (const int64_t m :
       decovec::random_permutation(key.with("order"), static_cast<int64_t>(members.size()))) {
    if (static_cast<int64_t>(examples.size()) == options.class_examples) break;
    const Member& member = members[static_cast<size_t>(m)];
    const RandomKey own = key.with(static_cast<uint64_t>(m));
    const std::vector<int64_t>& same = by_label[member.label];
    Example example{.query = text_of(member.concept_index), .positives = {}, .negatives = {}};
    example.positives =
        draw_texts(own.with("positives"), options.class_positives,
                   [&](RandomKey draw) { return text_of(same[decovec::random_below(draw, same.size())]); },
                   {example.query});
    if (example.positives.empty()) continue;
    std::vector<std::string> taken = example.positives;
    taken.push_back(example.query);
    example.negatives = draw_texts(
        own.with("negatives"), options.class_negatives,
        [&](RandomKey draw) -> std::optional<std::string> {
          const Member& other = members[decovec::random_below(draw, members.size())];
          if (other.label == member.label) return std::nullopt;
          return text_of(other.concept_index);
        },
        taken);
    examples.push_back(std::move(example));
  }
  return {name, std::move(examples)};
}

// Pairs of a concept and a broader one or a sibling, each in both directions. Negatives are less related than
// the positive: siblings where that is a broader or narrower concept, then concepts of the same file, then
// any.
Dataset related_set(const Collection& collection, RandomKey key, const TrainingSetOptions& options) {
  std::vector<int64_t> members;
  std::map<int64_t, std::vector<int64_t>> children, by_file;
  for (int64_t i = 0; i < static_cast<int64_t>(collection.concepts.size()); ++i) {
    if (!in_training(collection, i) || at(collection, i).broader.empty()) continue;
    members.push_back(i);
    by_file[at(collection, i).file].push_back(i);
    for (const int64_t parent : at(collection, i).broader) children[parent].push_back(i);
  }
  const auto is_parent = [&](int64_t parent, int64_t child) {
    const std::vector<int64_t>& broader = at(collection, child).broader;
    return std::find(broader.begin(), broader.end(), parent) != broader.end();
  };

  std::vector<Example> examples;
  const auto add = [&](int64_t query, int64_t positive, RandomKey own) {
    Example example{.query = at(collection, query).definition,
                    .positives = {at(collection, positive).definition},
                    .negatives = {}};
    if (example.query == example.positives.front()) return;
    const auto add_negatives = [&](const char* name, const std::vector<int64_t>& pool, int64_t count,
                                   const std::function<bool(int64_t)>& accept) {
      if (pool.empty()) return;
      std::vector<std::string> taken = example.negatives;
      taken.insert(taken.end(), {example.query, example.positives.front()});
      const auto draw_one = [&](RandomKey draw) -> std::optional<std::string> {
        const int64_t other = pool[decovec::random_below(draw, pool.size())];
        if (!accept(other)) return std::nullopt;
        return at(collection, other).definition;
      };
      for (std::string& text : draw_texts(own.with(name), count, draw_one, taken))
        example.negatives.push_back(std::move(text));
    };
    const auto unrelated = [&](int64_t other) { return !are_related(collection.concepts, query, other); };
    const int64_t third = options.class_negatives / 3;
    if (is_parent(positive, query) || is_parent(query, positive))
      for (const int64_t parent : at(collection, query).broader)
        add_negatives("siblings", children[parent], third - static_cast<int64_t>(example.negatives.size()),
                      [&](int64_t other) { return !is_parent(other, query) && !is_parent(query, other); });
    add_negatives("same file", by_file[at(collection, query).file], third, unrelated);
    add_negatives("any", members, options.class_negatives - static_cast<int64_t>(example.negatives.size()),
                  unrelated);
    examples.push_back(std::move(example));
  };
  for (const int64_t m :
       decovec::random_permutation(key.with("order"), static_cast<int64_t>(members.size()))) {
    if (static_cast<int64_t>(examples.size()) >= options.class_examples) break;
    const int64_t member = members[static_cast<size_t>(m)];
    const RandomKey own = key.with(static_cast<uint64_t>(m));
    const std::vector<int64_t>& parents = at(collection, member).broader;
    const int64_t parent = parents[decovec::random_below(own.with("parent"), parents.size())];
    const std::vector<int64_t>& siblings = children[parent];
    const bool take_parent = in_training(collection, parent) && random_uniform(own.with("kind")) < 0.5;
    const int64_t other =
        take_parent ? parent : siblings[decovec::random_below(own.with("sibling"), siblings.size())];
    add(member, other, own.with("forth"));
    add(other, member, own.with("back"));
  }
  return {"related", std::move(examples)};
}

}  // namespace

std::vector<Dataset> training_sets(const Collection& collection, RandomKey key,
                                   const TrainingSetOptions& options) {
  std::vector<Member> categories, topics;
  for (int64_t i = 0; i < static_cast<int64_t>(collection.concepts.size()); ++i) {
    if (!in_training(collection, i)) continue;
    categories.push_back({i, at(collection, i).file});
    const int64_t topic = collection.topic[static_cast<size_t>(i)];
    if (topic >= 0) topics.push_back({i, topic});
  }
  const auto definition = [&](int64_t i) { return at(collection, i).definition; };
  const auto without_topic = [&](int64_t i) { return topic_text(at(collection, i)); };
  return {broader_set(collection, options),
          class_set("category", categories, definition, key.with("category"), options),
          class_set("topic", topics, without_topic, key.with("topic"), options),
          related_set(collection, key.with("related"), options)};
}

}  // namespace wordnet
