#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <unordered_set>
#include <utility>

#include "data_sets.hpp"
#include "json_lines.hpp"

namespace wordnet {
namespace {

namespace fs = std::filesystem;
using decovec::RandomKey;

const Concept& at(const Collection& collection, int64_t index) {
  return collection.concepts[static_cast<size_t>(index)];
}

// Concepts of a split that pass a test, in random order.
std::vector<int64_t> shuffled(const Collection& collection, Split split, RandomKey key,
                              const std::function<bool(int64_t)>& accept) {
  std::vector<int64_t> found;
  for (const int64_t i : decovec::random_permutation(key, static_cast<int64_t>(collection.concepts.size())))
    if (collection.split[static_cast<size_t>(i)] == split && accept(i)) found.push_back(i);
  return found;
}

void write_texts(const fs::path& file, const std::vector<int64_t>& members, int64_t limit,
                 const std::function<std::string(int64_t)>& text,
                 const std::function<std::string(int64_t)>& label) {
  JsonLines lines(file);
  for (size_t i = 0; i < std::min(members.size(), static_cast<size_t>(limit)); ++i)
    lines.add({{"text", text(members[i])}, {"label", label(members[i])}});
  lines.close();
}

// A query's own concept is no document, as BM25 and any model would find its definition first: queries are
// concepts without narrower ones.
void write_broader(const Collection& collection, Split split, RandomKey key, const fs::path& folder,
                   int64_t count) {
  fs::create_directories(folder / "qrels");
  JsonLines corpus(folder / "corpus.jsonl"), queries(folder / "queries.jsonl");
  for (const int64_t parent : collection.parents) {
    const std::string text = document(at(collection, parent));
    corpus.add({{"_id", at(collection, parent).id}, {"title", ""}, {"text", text}});
  }
  corpus.close();

  std::ofstream judgements(folder / "qrels" / "test.tsv", std::ios::binary);
  judgements << "query-id\tcorpus-id\tscore\n";
  const auto is_leaf = [&](int64_t i) {
    return !at(collection, i).broader.empty() &&
           !std::binary_search(collection.parents.begin(), collection.parents.end(), i);
  };
  std::vector<int64_t> leaves = shuffled(collection, split, key, is_leaf);
  leaves.resize(std::min(leaves.size(), static_cast<size_t>(count)));
  for (const int64_t leaf : leaves) {
    queries.add({{"_id", at(collection, leaf).id}, {"text", at(collection, leaf).definition}});
    for (const int64_t parent : at(collection, leaf).broader)
      judgements << at(collection, leaf).id << '\t' << at(collection, parent).id << "\t1\n";
  }
  queries.close();
  judgements.close();
  if (!judgements) throw std::runtime_error((folder / "qrels" / "test.tsv").string() + ": cannot be written");
}

// Pairs of held-out definitions by degree: 3 a concept and a broader one, 2 siblings, 1 the same
// lexicographer file, 0 another file.
void write_related(const Collection& collection, Split split, RandomKey key, const fs::path& folder,
                   int64_t count) {
  fs::create_directories(folder);
  const std::vector<int64_t> members =
      shuffled(collection, split, key, [&](int64_t i) { return !at(collection, i).broader.empty(); });
  std::map<int64_t, std::vector<int64_t>> children;
  for (const int64_t member : members)
    for (const int64_t parent : at(collection, member).broader) children[parent].push_back(member);

  JsonLines lines(folder / "sts.jsonl");
  std::set<std::pair<int64_t, int64_t>> used;
  const auto add = [&](int64_t a, int64_t b, int degree) {
    const std::string &first = at(collection, a).definition, &second = at(collection, b).definition;
    if (first == second || !used.insert(std::minmax(a, b)).second) return false;
    lines.add({{"sentence1", first}, {"sentence2", second}, {"score", degree}});
    return true;
  };
  // `other` proposes a partner for a member, or none.
  const auto pair_up = [&](int degree,
                           const std::function<std::optional<int64_t>(int64_t member, RandomKey)>& other) {
    int64_t written = 0;
    const RandomKey own = key.with(static_cast<uint64_t>(degree));
    for (const int64_t member : members) {
      if (written == count) return;
      const std::optional<int64_t> partner = other(member, own.with(static_cast<uint64_t>(member)));
      if (partner && add(member, *partner, degree)) ++written;
    }
  };
  const auto random_member = [&](RandomKey draw) {
    return members[decovec::random_below(draw, members.size())];
  };
  pair_up(3, [&](int64_t member, RandomKey) -> std::optional<int64_t> {
    for (const int64_t parent : at(collection, member).broader)
      if (collection.split[static_cast<size_t>(parent)] == split) return parent;
    return std::nullopt;
  });
  pair_up(2, [&](int64_t member, RandomKey draw) -> std::optional<int64_t> {
    const std::vector<int64_t>& siblings = children[at(collection, member).broader.front()];
    return siblings[decovec::random_below(draw, siblings.size())];
  });
  for (const int degree : {1, 0})
    pair_up(degree, [&](int64_t member, RandomKey draw) -> std::optional<int64_t> {
      for (uint64_t attempt = 0; attempt < 100; ++attempt) {
        const int64_t other = random_member(draw.with(attempt));
        const bool same_file = at(collection, other).file == at(collection, member).file;
        if (same_file == (degree == 1) && !are_related(collection.concepts, member, other)) return other;
      }
      return std::nullopt;
    });
  lines.close();
}

}  // namespace

void write_tasks(const Collection& collection, Split split, RandomKey key, const fs::path& folder,
                 const TaskOptions& options) {
  const auto definition = [&](int64_t i) { return at(collection, i).definition; };
  const auto file_name = [&](int64_t i) { return file_names()[static_cast<size_t>(at(collection, i).file)]; };
  const auto any = [](int64_t) { return true; };

  write_broader(collection, split, key.with("broader"), folder / "broader", options.queries);

  fs::create_directories(folder / "category");
  write_texts(folder / "category" / "train.jsonl",
              shuffled(collection, Split::train, key.with("category"), any), options.class_train, definition,
              file_name);
  write_texts(folder / "category" / "test.jsonl", shuffled(collection, split, key.with("category"), any),
              options.class_test, definition, file_name);

  fs::create_directories(folder / "topic");
  const auto topic_of = [&](int64_t i) { return collection.topic[static_cast<size_t>(i)]; };
  const std::vector<int64_t> members =
      shuffled(collection, split, key.with("topic"), [&](int64_t i) { return topic_of(i) >= 0; });
  write_texts(
      folder / "topic" / "test.jsonl", members, static_cast<int64_t>(members.size()),
      [&](int64_t i) { return topic_text(at(collection, i)); },
      [&](int64_t i) { return at(collection, topic_of(i)).words.front(); });

  write_related(collection, split, key.with("related"), folder / "related", options.pairs);
}

}  // namespace wordnet
