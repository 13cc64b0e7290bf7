#include "decovec/loss/relation.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "io/error.hpp"

namespace decovec {
namespace {

template <class T>
void sort_and_unique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

template <class T>
T& at_index(std::vector<T>& values, int64_t index) {
  return values[static_cast<size_t>(index)];
}
template <class T>
const T& at_index(const std::vector<T>& values, int64_t index) {
  return values[static_cast<size_t>(index)];
}

bool has_id(const RelationFacts& facts, int64_t document) {
  return !facts.id.empty() && at_index(facts.id, document) != 0;
}

// Calls use(value) for each pair of a key.
template <class Use>
void for_each_of(const std::vector<std::pair<uint64_t, int64_t>>& sorted, uint64_t key, Use&& use) {
  auto match = std::lower_bound(sorted.begin(), sorted.end(), std::pair(key, int64_t{0}));
  for (; match != sorted.end() && match->first == key; ++match) use(match->second);
}

void check(const RelationFacts& facts) {
  const size_t queries = facts.pool.size(), documents = facts.owner.size();
  const auto expect = [](const char* what, const char* each, size_t expected, size_t given) {
    if (given != expected)
      reject("Relation: {}: expected one entry for each of {} {}, got {}", what, expected, each, given);
  };
  const auto expect_if_any = [&](const char* what, const char* each, size_t expected, size_t given) {
    if (given != 0) expect(what, each, expected, given);
  };
  expect("role", "documents", documents, facts.role.size());
  expect("text", "documents", documents, facts.text.size());
  expect("answers", "queries", queries, facts.answers.size());
  expect_if_any("id", "documents", documents, facts.id.size());
  expect_if_any("score", "documents", documents, facts.score.size());
  expect_if_any("query_text", "queries", queries, facts.query_text.size());
  expect_if_any("set", "queries", queries, facts.set.size());
  std::vector<bool> owns(queries);
  for (size_t d = 0; d < documents; ++d) {
    const int64_t owner = facts.owner[d];
    if (owner < 0 || owner >= static_cast<int64_t>(queries))
      reject("Relation: owner of document {}: expected a query in [0, {}), got {}", d, queries, owner);
    const auto role = static_cast<int>(facts.role[d]);
    if (role < static_cast<int>(Role::positive) || role > static_cast<int>(Role::scored))
      reject("Relation: role of document {}: expected one of Role, got {}", d, role);
    if (!facts.score.empty() && std::isinf(facts.score[d]))
      reject("Relation: score of document {}: expected a number, or NaN for none, got {}", d, facts.score[d]);
    owns[static_cast<size_t>(owner)] = true;
  }
  for (size_t q = 0; q < queries; ++q) {
    if (!owns[q]) reject("Relation: query {}: expected at least one document of its own, got none", q);
    if (facts.pool[q] < -1)
      reject("Relation: pool of query {}: expected -1 or more, got {}", q, facts.pool[q]);
  }
}

// Adds the positives' texts and ids, shares answers among queries of one text, and sorts.
void complete_answers(RelationFacts& facts) {
  for (size_t d = 0; d < facts.owner.size(); ++d) {
    if (facts.role[d] != Role::positive) continue;
    std::vector<uint64_t>& answers = at_index(facts.answers, facts.owner[d]);
    answers.push_back(facts.text[d]);
    if (has_id(facts, static_cast<int64_t>(d))) answers.push_back(facts.id[d]);
  }
  std::map<uint64_t, std::vector<size_t>> by_text;
  for (size_t q = 0; q < facts.query_text.size(); ++q) by_text[facts.query_text[q]].push_back(q);
  for (const auto& [text, same] : by_text) {
    if (same.size() == 1) continue;
    std::vector<uint64_t> all;
    for (const size_t q : same) all.insert(all.end(), facts.answers[q].begin(), facts.answers[q].end());
    sort_and_unique(all);
    for (const size_t q : same) facts.answers[q] = all;
  }
  for (std::vector<uint64_t>& answers : facts.answers) sort_and_unique(answers);
}

int8_t label_of(Role role) {
  switch (role) {
    case Role::positive:
      return kPositive;
    case Role::negative:
      return kHardNegative;
    case Role::curated:
      return kCuratedNegative;
    case Role::scored:
      break;
  }
  return kNothing;
}

}  // namespace

Relation::Relation(RelationFacts facts) : facts_(std::move(facts)) {
  at_boundary("Relation", [&] {
    check(facts_);
    complete_answers(facts_);
    own_.resize(static_cast<size_t>(documents()));
    std::iota(own_.begin(), own_.end(), 0);
    std::stable_sort(own_.begin(), own_.end(), [&](int64_t a, int64_t b) {
      return at_index(facts_.owner, a) < at_index(facts_.owner, b);
    });
    own_begin_.assign(static_cast<size_t>(queries()) + 1, 0);
    for (const int64_t owner : facts_.owner) ++at_index(own_begin_, owner + 1);
    std::partial_sum(own_begin_.begin(), own_begin_.end(), own_begin_.begin());

    for (int64_t d = 0; d < documents(); ++d) {
      document_keys_.emplace_back(at_index(facts_.text, d), d);
      if (has_id(facts_, d)) document_keys_.emplace_back(at_index(facts_.id, d), d);
    }
    sort_and_unique(document_keys_);
    for (int64_t q = 0; q < queries(); ++q)
      for (const uint64_t answer : at_index(facts_.answers, q)) answer_keys_.emplace_back(answer, q);
    std::sort(answer_keys_.begin(), answer_keys_.end());

    query_group_ = at::empty({queries(), 1}, at::kLong);
    for (int64_t q = 0; q < queries(); ++q) query_group_.data_ptr<int64_t>()[q] = group(q);
    document_group_ = at::empty({1, documents()}, at::kLong);
    is_positive_ = at::empty({1, documents()}, at::kChar);
    for (int64_t d = 0; d < documents(); ++d) {
      document_group_.data_ptr<int64_t>()[d] = group(at_index(facts_.owner, d));
      is_positive_.data_ptr<int8_t>()[d] = at_index(facts_.role, d) == Role::positive;
    }
  });
}

// Queries see each other's documents where their groups are the same.
int64_t Relation::group(int64_t query) const {
  const int32_t pool = at_index(facts_.pool, query);
  return pool < 0 ? query : queries() + pool;
}

void Relation::check_range(int64_t begin, int64_t end) const {
  if (begin < 0 || begin > end || end > queries())
    reject("Relation: rows: expected a range within [0, {}), got [{}, {})", queries(), begin, end);
}

std::span<const int64_t> Relation::documents_of(int64_t query) const {
  check_range(query, query + 1);
  const int64_t begin = at_index(own_begin_, query), end = at_index(own_begin_, query + 1);
  return std::span(own_).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

bool Relation::is_own_positive(int64_t query, int64_t document) const {
  return at_index(facts_.owner, document) == query && at_index(facts_.role, document) == Role::positive;
}

template <class Use>
void Relation::for_each_answer(int64_t query, Use&& use) const {
  for (const uint64_t answer : at_index(facts_.answers, query)) for_each_of(document_keys_, answer, use);
}

template <class Use>
void Relation::for_each_related(int64_t query, Use&& use) const {
  use(query);
  for_each_answer(query, [&](int64_t document) {
    if (at_index(facts_.role, document) == Role::positive) use(at_index(facts_.owner, document));
  });
  for (const int64_t document : documents_of(query)) {
    if (at_index(facts_.role, document) != Role::positive) continue;
    for_each_of(answer_keys_, at_index(facts_.text, document), use);
    if (has_id(facts_, document)) for_each_of(answer_keys_, at_index(facts_.id, document), use);
  }
}

at::Tensor Relation::document_labels(int64_t begin, int64_t end, bool positives_of_others_alone) const {
  at::Tensor labels = at::eq(query_group_.slice(0, begin, end), document_group_).view(at::kChar).neg_();
  if (positives_of_others_alone) labels.mul_(is_positive_);
  auto* row = labels.data_ptr<int8_t>();
  for (int64_t q = begin; q < end; ++q, row += documents()) {
    for (const int64_t document : documents_of(q)) row[document] = label_of(at_index(facts_.role, document));
    for_each_answer(q, [&](int64_t document) {
      if (!is_own_positive(q, document)) row[document] = kNothing;
    });
  }
  return labels;
}

at::Tensor Relation::query_labels(int64_t begin, int64_t end, bool own_is_positive) const {
  at::Tensor labels = at::eq(query_group_.slice(0, begin, end), query_group_.t()).view(at::kChar).neg_();
  auto* row = labels.data_ptr<int8_t>();
  for (int64_t q = begin; q < end; ++q, row += queries()) {
    for_each_related(q, [&](int64_t other) { row[other] = kNothing; });
    if (own_is_positive) row[q] = kPositive;
  }
  return labels;
}

// A query's own documents, and the positives of queries related to it, are no negatives of its positive.
void Relation::leave_out_for_positives(at::Tensor& labels, int64_t begin, int64_t end) const {
  auto* row = labels.data_ptr<int8_t>();
  for (int64_t q = begin; q < end; ++q, row += documents()) {
    for (const int64_t document : documents_of(q)) row[document] = kNothing;
    for_each_related(q, [&](int64_t other) {
      for (const int64_t document : documents_of(other))
        if (at_index(facts_.role, document) == Role::positive) row[document] = kNothing;
    });
  }
}

at::Tensor Relation::labels(int64_t begin, int64_t end, Direction direction) const {
  return at_boundary("Relation::labels", [&] {
    check_range(begin, end);
    if (direction == Direction::query_to_query || direction == Direction::document_to_query)
      return query_labels(begin, end, direction == Direction::document_to_query);
    at::Tensor labels = document_labels(
        begin, end,
        direction == Direction::query_to_positive || direction == Direction::document_to_positive);
    if (direction == Direction::document_to_document || direction == Direction::document_to_positive)
      leave_out_for_positives(labels, begin, end);
    return labels;
  });
}

int64_t Relation::masked(int64_t begin, int64_t end) const {
  check_range(begin, end);
  int64_t count = 0;
  std::vector<int64_t> answers;
  for (int64_t q = begin; q < end; ++q) {
    answers.clear();
    for_each_answer(q, [&](int64_t document) { answers.push_back(document); });
    sort_and_unique(answers);
    for (const int64_t document : answers)
      count += group(q) == group(at_index(facts_.owner, document)) && !is_own_positive(q, document);
  }
  return count;
}

Relation::Part Relation::part(const std::vector<int32_t>& sets) const {
  return at_boundary("Relation::part", [&] {
    if (facts_.set.empty() && queries() > 0)
      reject("Relation: part: expected the data set of each query among the facts, got none");
    Part part;
    RelationFacts facts;
    facts.key = facts_.key;
    std::vector<int64_t> place(static_cast<size_t>(queries()), -1);
    for (int64_t q = 0; q < queries(); ++q) {
      if (std::find(sets.begin(), sets.end(), at_index(facts_.set, q)) == sets.end()) continue;
      at_index(place, q) = static_cast<int64_t>(part.queries.size());
      part.queries.push_back(q);
      facts.pool.push_back(at_index(facts_.pool, q));
      facts.answers.push_back(at_index(facts_.answers, q));
      facts.set.push_back(at_index(facts_.set, q));
      if (!facts_.query_text.empty()) facts.query_text.push_back(at_index(facts_.query_text, q));
    }
    for (int64_t d = 0; d < documents(); ++d) {
      const int64_t owner = at_index(place, at_index(facts_.owner, d));
      if (owner < 0) continue;
      part.documents.push_back(d);
      facts.owner.push_back(owner);
      facts.role.push_back(at_index(facts_.role, d));
      facts.text.push_back(at_index(facts_.text, d));
      if (!facts_.id.empty()) facts.id.push_back(at_index(facts_.id, d));
      if (!facts_.score.empty()) facts.score.push_back(at_index(facts_.score, d));
    }
    part.relation = Relation(std::move(facts));
    return part;
  });
}

}  // namespace decovec
