#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "data_sets.hpp"

namespace wordnet {
namespace {

using decovec::RandomKey;

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

}  // namespace

Collection collect(std::vector<Concept> concepts, RandomKey key, int64_t topics) {
  Collection collection;
  const RandomKey split_key = key.with("split");
  std::unordered_set<int64_t> parents;
  std::unordered_map<int64_t, int64_t> members;  // of each topic
  for (const Concept& item : concepts) {
    const double draw = decovec::random_uniform(split_key.with(lower_case(topic_text(item))));
    collection.split.push_back(draw < 0.8 ? Split::train : draw < 0.9 ? Split::dev : Split::test);
    parents.insert(item.broader.begin(), item.broader.end());
    for (const int64_t topic : item.topics) ++members[topic];
  }
  collection.parents.assign(parents.begin(), parents.end());
  std::sort(collection.parents.begin(), collection.parents.end());

  std::vector<std::pair<int64_t, int64_t>> frequent;  // (-members, topic): ties go by index
  for (const auto& [topic, count] : members) frequent.emplace_back(-count, topic);
  std::sort(frequent.begin(), frequent.end());
  frequent.resize(std::min(frequent.size(), static_cast<size_t>(topics)));
  for (const Concept& item : concepts) {
    std::vector<int64_t> found;
    for (const int64_t topic : item.topics)
      if (std::any_of(frequent.begin(), frequent.end(),
                      [&](const auto& entry) { return entry.second == topic; }))
        found.push_back(topic);
    collection.topic.push_back(found.size() == 1 ? found.front() : -1);
  }
  collection.concepts = std::move(concepts);
  return collection;
}

std::string topic_text(const Concept& item) {
  const std::string& text = item.definition;
  const size_t close = text.starts_with('(') ? text.find(") ") : std::string::npos;
  return close == std::string::npos ? text : text.substr(close + 2);
}

bool are_related(const std::vector<Concept>& concepts, int64_t a, int64_t b) {
  const auto contains = [](const std::vector<int64_t>& list, int64_t value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  const std::vector<int64_t>& parents = concepts[static_cast<size_t>(b)].broader;
  for (const int64_t parent : concepts[static_cast<size_t>(a)].broader)
    if (contains(parents, parent)) return true;
  return a == b || contains(ancestors(concepts, a), b) || contains(ancestors(concepts, b), a);
}

}  // namespace wordnet
