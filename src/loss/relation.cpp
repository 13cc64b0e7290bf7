#include "decovec/loss/relation.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "io/error.hpp"

namespace decovec {
namespace {

void check_range(const Relation& relation, int64_t begin, int64_t end) {
  if (begin < 0 || begin > end || end > relation.queries()) {
    reject("Relation: rows: expected a range within [0, {}), got [{}, {})", relation.queries(), begin, end);
  }
}

// The group of a query, such that its candidates are the documents whose owners have the same group.
int64_t group(const Relation& relation, int64_t query) {
  const int32_t pool = relation.pool[static_cast<size_t>(query)];
  return pool < 0 ? query : relation.queries() + pool;
}

// Calls use(query, document) once for each document, the query's positive apart, whose text answers the
// query.
template <class Use>
void for_each_answer(const Relation& relation, int64_t begin, int64_t end, Use&& use) {
  std::vector<std::pair<uint64_t, int64_t>> by_text;
  by_text.reserve(relation.text.size());
  for (uint64_t text : relation.text) by_text.emplace_back(text, static_cast<int64_t>(by_text.size()));
  std::sort(by_text.begin(), by_text.end());
  for (int64_t query = begin; query < end; ++query) {
    const auto& answers = relation.answers[static_cast<size_t>(query)];
    for (size_t i = 0; i < answers.size(); ++i) {
      if (i > 0 && answers[i] == answers[i - 1]) continue;
      auto match = std::lower_bound(by_text.begin(), by_text.end(), std::pair{answers[i], int64_t{0}});
      for (; match != by_text.end() && match->first == answers[i]; ++match) {
        if (match->second != relation.positive[static_cast<size_t>(query)]) use(query, match->second);
      }
    }
  }
}

}  // namespace

at::Tensor Relation::labels(int64_t begin, int64_t end) const {
  return at_boundary("Relation::labels", [&] {
    validate(*this);
    check_range(*this, begin, end);
    at::Tensor query_groups = at::empty({end - begin, 1}, at::kLong);
    at::Tensor document_groups = at::empty({1, documents()}, at::kLong);
    for (int64_t q = begin; q < end; ++q) query_groups.data_ptr<int64_t>()[q - begin] = group(*this, q);
    std::transform(owner.begin(), owner.end(), document_groups.data_ptr<int64_t>(),
                   [&](int64_t query) { return group(*this, query); });
    at::Tensor labels = at::eq(query_groups, document_groups).view(at::kChar).neg_();

    auto* values = labels.data_ptr<int8_t>();
    for_each_answer(*this, begin, end,
                    [&](int64_t q, int64_t document) { values[(q - begin) * documents() + document] = 0; });
    for (int64_t q = begin; q < end; ++q) {
      values[(q - begin) * documents() + positive[static_cast<size_t>(q)]] = 1;
    }
    return labels;
  });
}

int64_t Relation::masked(int64_t begin, int64_t end) const {
  validate(*this);
  check_range(*this, begin, end);
  int64_t count = 0;
  for_each_answer(*this, begin, end, [&](int64_t q, int64_t document) {
    count += group(*this, q) == group(*this, owner[static_cast<size_t>(document)]);
  });
  return count;
}

void validate(const Relation& relation) {
  const auto queries = static_cast<size_t>(relation.queries());
  const auto documents = static_cast<size_t>(relation.documents());
  if (relation.pool.size() != queries || relation.answers.size() != queries) {
    reject("Relation: expected one entry of positive, pool and answers for each query, got {}, {} and {}",
           queries, relation.pool.size(), relation.answers.size());
  }
  if (relation.text.size() != documents) {
    reject("Relation: expected one entry of owner and text for each document, got {} and {}", documents,
           relation.text.size());
  }
  for (size_t d = 0; d < documents; ++d) {
    if (relation.owner[d] < 0 || relation.owner[d] >= relation.queries()) {
      reject("Relation: owner of document {}: expected a query in [0, {}), got {}", d, queries,
             relation.owner[d]);
    }
  }
  for (size_t q = 0; q < queries; ++q) {
    const int64_t positive = relation.positive[q];
    if (positive < 0 || positive >= relation.documents()) {
      reject("Relation: positive of query {}: expected a document in [0, {}), got {}", q, documents,
             positive);
    }
    if (relation.owner[static_cast<size_t>(positive)] != static_cast<int64_t>(q)) {
      reject("Relation: positive of query {}: expected a document of its own, got {}, which query {} owns", q,
             positive, relation.owner[static_cast<size_t>(positive)]);
    }
    if (relation.pool[q] < -1) {
      reject("Relation: pool of query {}: expected -1 or more, got {}", q, relation.pool[q]);
    }
    if (!std::is_sorted(relation.answers[q].begin(), relation.answers[q].end())) {
      reject("Relation: answers of query {}: expected sorted hashes", q);
    }
  }
}

}  // namespace decovec
