// sentencepiece's BPE pieces as the list of merges that the Hugging Face tokenizers library wants.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "text/sentencepiece_model.hpp"

namespace decovec {

/// Every pair of pieces that makes a piece: the best score first, then the longest left part, then the
/// longest right part, as in transformers' conversions. sentencepiece takes the leftmost pair of the best
/// score; where pairs of one score overlap, in runs of spaces, this order comes to the same. Throws
/// std::runtime_error for what would give other ids than sentencepiece: pieces of equal score that are no
/// such runs, and pieces with a character that is no piece itself.
std::vector<std::pair<std::string, std::string>> bpe_merges(const SentencePieceModel& model);

}  // namespace decovec
