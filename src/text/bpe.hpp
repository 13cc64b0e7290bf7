// The model of a tokenizer.json: byte pair encoding over characters or over bytes.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/json.hpp"
#include "text/merge_table.hpp"
#include "text/vocabulary.hpp"

namespace decovec {

/// Turns pieces of text into ids as the model BPE of the Hugging Face tokenizers library 0.23.3 does.
/// Immutable, so calls are thread-safe; time is n log n in a piece's length.
class Bpe {
 public:
  /// Reads the "model" of a tokenizer.json. `byte_level`: pieces are given as their bytes, each of which the
  /// vocabulary spells as GPT-2's printable character for it. Throws std::runtime_error for anything but a
  /// sound BPE model with the settings that decovec has.
  static Bpe parse(const JsonObject& model, bool byte_level);

  /// Appends a piece's ids. `piece` must be UTF-8, or any bytes for a byte-level model. Throws
  /// std::runtime_error for an unknown character where the model names an unknown token that it does not
  /// have.
  void append_ids(std::string_view piece, std::vector<int64_t>& ids) const;

  /// The id of a token as the file spells it.
  std::optional<int64_t> id_of(std::string_view token) const;
  /// The number of tokens, and one more than the largest id.
  size_t tokens() const { return vocabulary_.size(); }
  int64_t size() const { return size_; }

 private:
  Bpe() = default;
  void read_vocabulary(const JsonObject& model);
  void read_merges(const JsonObject& model);
  void add_merge(std::string_view left, std::string_view right, uint32_t rank);
  void index_whole_tokens(const JsonObject& model);

  char32_t character_of(unsigned char byte) const;
  uint32_t id_of_character(char32_t character) const;
  bool append_bytes(char32_t character, std::vector<uint32_t>& symbols) const;
  /// False where an unknown token is needed that is not in the vocabulary.
  bool append_symbols(std::string_view piece, std::vector<uint32_t>& symbols) const;
  size_t end_of_word(std::string_view piece, size_t begin) const;

  static constexpr uint32_t kNoId = UINT32_MAX;
  bool byte_level_ = false, byte_fallback_ = false, fuse_unknown_ = false, ignore_merges_ = false;
  std::string unknown_;  // the unknown token's content; empty without one
  std::optional<uint32_t> unknown_id_;
  std::string where_;

  Vocabulary vocabulary_;  // as the file spells tokens
  int64_t size_ = 0;
  MergeTable merges_;
  // Tokens that their own text becomes, by that text as pieces have it: most words need no merging.
  Vocabulary whole_;
  std::unordered_map<char32_t, uint32_t> character_ids_;
  std::array<uint32_t, 256> byte_ids_{};      // of a byte-level model's bytes, of ASCII characters otherwise
  std::array<uint32_t, 256> fallback_ids_{};  // of "<0x00>" to "<0xFF>"
  bool words_ = false;                        // whether words are merged by themselves: see end_of_word
  std::set<char32_t> joined_;                 // characters that a merge joins with a U+2581 behind them
};

}  // namespace decovec
