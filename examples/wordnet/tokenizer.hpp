#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace wordnet {

/// Trains a sentencepiece BPE tokenizer (byte fallback, no normalisation, every space kept, <unk> <s> </s> =
/// 0 1 2) and writes it to `file`. Deterministic. Throws std::runtime_error.
void train_tokenizer(const std::vector<std::string>& texts, int64_t vocabulary,
                     const std::filesystem::path& file);

}  // namespace wordnet
