// The tokenizer's files in a model folder, as transformers and sentence-transformers read them.
#pragma once
#include <filesystem>

#include "decovec/text/tokenizer.hpp"
#include "text/sentencepiece_tokenizer.hpp"

namespace decovec {

/// See save_tokenizer.
void write_tokenizer_folder(const SentencePieceTokenizer& tokenizer, const SequenceRule& rule,
                            const std::filesystem::path& folder);

}  // namespace decovec
