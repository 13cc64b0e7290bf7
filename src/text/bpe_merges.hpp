// sentencepiece's BPE pieces as the list of merges that the Hugging Face tokenizers library wants.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "text/sentencepiece_model.hpp"

namespace decovec {

/// Every pair of pieces that makes a piece, the best score first. Of the pairs that make one piece the
/// longest left part comes first, as in transformers' conversions: sentencepiece merges the leftmost one, and
/// where pairs overlap (in runs of spaces) this order does the same. Throws std::runtime_error for what would
/// give other ids than sentencepiece: pieces of equal score, and pieces with a character that is no piece
/// itself.
std::vector<std::pair<std::string, std::string>> bpe_merges(const SentencePieceModel& model);

}  // namespace decovec
