// The normalizers of a tokenizer.json, as the Hugging Face tokenizers library applies them.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.hpp"

namespace decovec {

/// Maps a text to the text that is tokenized. Immutable, so calls are thread-safe; time is linear in the
/// text.
class Normalizer {
 public:
  /// The identity: what a tokenizer.json without a normalizer has.
  Normalizer() = default;
  /// Reads one normalizer: Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, ByteLevel
  /// or a Sequence. Throws std::runtime_error for other types, unknown keys and patterns that cannot be
  /// carried over.
  static Normalizer parse(const JsonObject& json);

  bool identity() const { return steps_.empty(); }

  /// `text` must be UTF-8. Throws std::runtime_error where a pattern needs too much work on this text,
  /// or replacements make it longer than any real normalizer does.
  std::string apply(std::string_view text) const;
  /// The same in place. `at_origin`: whether the stretch begins where the whole original text begins; it is
  /// cleared where its beginning is dropped (Strip, Replace), as the library's offsets have it.
  void apply(std::string& text, bool& at_origin) const;

 private:
  using Step = std::function<void(std::string& text, bool& at_origin)>;
  std::vector<Step> steps_;
};

}  // namespace decovec
