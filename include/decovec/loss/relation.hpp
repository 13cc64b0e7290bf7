#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "decovec/world/random.hpp"

namespace decovec {

/// What a document is to the query it was drawn for.
enum class Role : int8_t {
  positive,  ///< a right answer
  negative,  ///< a hard negative
  curated,   ///< a hard negative that somebody chose: no filter by score leaves it out
  scored,    ///< neither: its score says how near it is
};

/// Who of a row (a query with its positive) meets whom.
enum class Direction : int8_t {
  query_to_document,     ///< the query meets its own documents and those of its pool
  query_to_positive,     ///< the same, but of its pool's other queries the positives alone
  query_to_query,        ///< the query meets the other queries of its pool
  document_to_query,     ///< its positive meets its own query and the others of its pool
  document_to_document,  ///< its positive meets the documents of its pool's other queries
  document_to_positive,  ///< its positive meets the positives of its pool's other queries
};

/// What labels hold: negatives are below 0, right matches above.
inline constexpr int8_t kPositive = 1, kNothing = 0, kInBatchNegative = -1, kHardNegative = -2,
                        kCuratedNegative = -3;

/// A global batch in facts, one entry for each query or document. A data set's policy is a way to fill them.
struct RelationFacts {
  /// [documents]: the query a document was drawn for.
  std::vector<int64_t> owner = {};
  /// [documents]: what it is to that query.
  std::vector<Role> role = {};
  /// [queries]: queries of the same pool see each other and each other's documents; -1: only its own.
  std::vector<int32_t> pool = {};
  /// [documents]: a hash of the document's text.
  std::vector<uint64_t> text = {};
  /// [queries]: hashes of texts and of ids of all right answers to it; those of its positives are known.
  std::vector<std::vector<uint64_t>> answers = {};

  // The rest may be empty.
  /// [documents]: a hash of the document's id, 0 where it has none. It must not equal a text's by design: mix
  /// another word in.
  std::vector<uint64_t> id = {};
  /// [queries]: a hash of the query's text. Queries of one text share their answers.
  std::vector<uint64_t> query_text = {};
  /// [documents]: how near it is to its owner, by people or a teacher, in the data set's unit; NaN: unknown.
  std::vector<double> score = {};
  /// [queries]: the data set a query is from, for losses of single sets.
  std::vector<int32_t> set = {};
  /// For losses that draw at random: another one for each batch.
  RandomKey key = RandomKey(0);
};

/// What the queries and documents of a global batch are to each other. Facts are checked and indexed once;
/// the matrix never exists, `labels` makes a tile of it.
///
/// No right answer is ever a negative: a document is an answer to a query if its text or id is among the
/// query's answers, and two queries are related, hence not each other's negatives, if a positive of one
/// answers the other.
class Relation {
 public:
  Relation() : Relation(RelationFacts()) {}
  /// Throws std::invalid_argument for sizes that differ, owners or pools out of range, a query without
  /// documents and scores that are infinite.
  explicit Relation(RelationFacts facts);

  int64_t queries() const { return static_cast<int64_t>(facts_.pool.size()); }
  int64_t documents() const { return static_cast<int64_t>(facts_.owner.size()); }
  /// As given, but with complete and sorted answers.
  const RelationFacts& facts() const { return facts_; }
  /// The documents that were drawn for a query, ascending.
  std::span<const int64_t> documents_of(int64_t query) const;

  /// int8 [end - begin, documents or queries] on the CPU: what queries or documents are to rows [begin, end).
  /// All own positives are kPositive in the directions from the query, the own query is in
  /// document_to_query. Throws std::invalid_argument for rows out of range.
  at::Tensor labels(int64_t begin, int64_t end, Direction direction = Direction::query_to_document) const;
  /// How many documents would be negatives of those queries were they not right answers.
  int64_t masked(int64_t begin, int64_t end) const;

  /// The queries of some data sets, with the documents that were drawn for them.
  struct Part;
  /// Throws std::invalid_argument where `sets` is not among the facts.
  Part part(const std::vector<int32_t>& sets) const;

 private:
  using Keys = std::vector<std::pair<uint64_t, int64_t>>;

  // Call use(document) for all documents that answer a query, and use(query) for all queries related to one,
  // itself among them; for some of them more than once.
  template <class Use>
  void for_each_answer(int64_t query, Use&& use) const;
  template <class Use>
  void for_each_related(int64_t query, Use&& use) const;
  bool is_own_positive(int64_t query, int64_t document) const;
  int64_t group(int64_t query) const;
  at::Tensor document_labels(int64_t begin, int64_t end, bool positives_of_others_alone) const;
  at::Tensor query_labels(int64_t begin, int64_t end, bool own_is_positive) const;
  void leave_out_for_positives(at::Tensor& labels, int64_t begin, int64_t end) const;
  void check_range(int64_t begin, int64_t end) const;

  RelationFacts facts_;
  std::vector<int64_t> own_, own_begin_;  // documents by owner; where each query's begin
  Keys document_keys_, answer_keys_;      // (text or id, document) and (answer, query), sorted
  // Where groups are the same, queries see documents: [queries, 1] and [1, documents].
  at::Tensor query_group_, document_group_;
  at::Tensor is_positive_;  // int8 [1, documents]
};

struct Relation::Part {
  std::vector<int64_t> queries, documents;  ///< of the whole, ascending
  Relation relation;                        ///< of those alone
};

}  // namespace decovec
