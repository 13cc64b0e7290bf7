// The pre-tokenizers of a tokenizer.json, as the Hugging Face tokenizers library applies them.
#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.hpp"

namespace decovec {

/// A text cut into pieces, in order and none of them empty: spans of one buffer, so that a piece costs no
/// allocation. What lies between spans is dropped. An object can be used again (`assign`) to save
/// allocations.
struct Pieces {
  struct Span {
    size_t begin = 0, end = 0;
  };
  std::string text;
  std::vector<Span> spans;
  /// Whether text[0] is where the whole original text begins, which Metaspace's scheme "first" asks for.
  bool at_origin = true;

  /// The whole text as one piece; no piece where it is empty.
  void assign(std::string_view whole, bool begins_original) {
    text = whole;
    at_origin = begins_original;
    spans.clear();
    if (!text.empty()) spans.push_back({0, text.size()});
  }
  size_t size() const { return spans.size(); }
  std::string_view operator[](size_t i) const {
    return std::string_view(text).substr(spans[i].begin, spans[i].end - spans[i].begin);
  }
};

/// Cuts a normalized text into the pieces that the model tokenizes one by one. Immutable, so calls are
/// thread-safe; time is linear in the text.
class PreTokenizer {
 public:
  /// The identity: what a tokenizer.json without a pre-tokenizer has.
  PreTokenizer() = default;
  /// Reads one pre-tokenizer: Split, ByteLevel, Metaspace, Digits, Whitespace, WhitespaceSplit, Punctuation
  /// or a Sequence. Throws std::runtime_error for other types, unknown keys and patterns that cannot be
  /// carried over.
  static PreTokenizer parse(const JsonObject& json);

  /// Cuts each piece further; the text may change as well (Metaspace, a prefix space). `pieces.text` must be
  /// UTF-8. Throws std::runtime_error where a pattern needs too much work on this text.
  void split(Pieces& pieces) const;

  /// Whether the last step is ByteLevel: the model then reads each byte of a piece as GPT-2's printable
  /// character for it (`byte_level_character`). `split` leaves the bytes as they are, so that a model can map
  /// its vocabulary once instead of each text.
  bool byte_level() const { return byte_level_; }

 private:
  using Step = std::function<void(Pieces&)>;
  void add(const JsonObject& json);
  std::vector<Step> steps_;
  bool byte_level_ = false;
};

/// GPT-2's printable character for a byte: a code point in [33, 323].
char32_t byte_level_character(unsigned char byte);

}  // namespace decovec
