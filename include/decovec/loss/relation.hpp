#pragma once
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace decovec {

/// What each document of a global batch is to each query: positive, negative, or nothing.
///
/// The whole matrix never exists; `labels` makes a tile of it. A new policy is a new way to fill these
/// fields.
struct Relation {
  /// [documents]: the query a document was drawn for.
  std::vector<int64_t> owner;
  /// [queries]: the document that is its positive.
  std::vector<int64_t> positive;
  /// [queries]: queries of the same pool see each other's documents as negatives; -1: only its own documents.
  std::vector<int32_t> pool;
  /// [documents]: a hash of the document's text.
  std::vector<uint64_t> text;
  /// [queries]: hashes of all texts that are right answers to it, sorted, its positive's among them; such
  /// a document is never its negative.
  std::vector<std::vector<uint64_t>> answers;

  int64_t queries() const { return static_cast<int64_t>(positive.size()); }
  int64_t documents() const { return static_cast<int64_t>(owner.size()); }

  /// int8 [end - begin, documents] on the CPU: 1 the positive, -1 a negative, 0 nothing, for queries
  /// [begin, end). Throws std::invalid_argument like `validate`.
  at::Tensor labels(int64_t begin, int64_t end) const;
  /// How many documents of those queries would be negatives were they not right answers.
  int64_t masked(int64_t begin, int64_t end) const;
};

/// Throws std::invalid_argument for indices out of range, sizes that differ, a positive that another query
/// owns, or answers that are not sorted.
void validate(const Relation& relation);

}  // namespace decovec
