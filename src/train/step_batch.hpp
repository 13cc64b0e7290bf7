// From drawn rows to token sequences and the relation of the whole batch.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/row_source.hpp"
#include "decovec/data/batch_sampler.hpp"
#include "decovec/loss/relation.hpp"
#include "decovec/text/tokenizer.hpp"
#include "world/ranks.hpp"

namespace decovec {

/// A data set as a step sees it.
struct TrainingSet {
  const RowSource* source = nullptr;  ///< kept by the caller
  std::string query_prompt, document_prompt;
  bool in_batch_negatives = true;
};

/// One step's input: what this rank encodes, and what all texts are to each other.
struct StepBatch {
  std::vector<BatchRow> rows;            ///< of the global batch
  std::vector<TokenSequence> sequences;  ///< this rank's queries, then its documents
  std::vector<int64_t> row_of;           ///< [sequences]: the batch row each belongs to
  RowRange own;                          ///< this rank's queries; all documents of a query lie with it
  Relation relation;                     ///< of the global batch: documents in query order, positive first
  int64_t tokens = 0, truncated = 0;     ///< of `sequences`
};

/// Text to ids: Embedder::sequence. Called from several threads.
using SequenceFunction = std::function<TokenSequence(std::string_view instruction, std::string_view text)>;

/// Draws the rows and makes a step of them. Rows of sets with in_batch_negatives form one pool; a row's
/// answers are its own and those of others with the same query. Texts are the same where the instruction and
/// text together are. `key` is the relation's, another one for each step. Throws std::runtime_error that
/// names data set, example and text where none of a text's tokens is pooled: its vector would be zeros, and
/// its gradient.
StepBatch assemble(const std::vector<TrainingSet>& sets, std::vector<BatchRow> rows, RowRange own,
                   const SequenceFunction& sequence, RandomKey key = RandomKey(0));

/// A key for each of the batch's sequences: of its row and of its place among the row's texts.
std::vector<uint64_t> sequence_keys(const StepBatch& batch, RandomKey key);

/// 64 bits that tell texts apart.
uint64_t text_hash(std::string_view instruction, std::string_view text);

}  // namespace decovec
