#include "text/pre_tokenizer.hpp"

#include <utility>

#include "io/error.hpp"
#include "text/component.hpp"
#include "text/split.hpp"
#include "text/unicode.hpp"

namespace decovec {
namespace {

using Step = std::function<void(Pieces&)>;

// Writes each piece anew, to the end of `text`; `first`: whether the piece begins the original text.
template <class Write>
void rewrite(Pieces& pieces, const Write& write) {
  if (pieces.size() == 0) return;
  std::string text;
  text.reserve(pieces.text.size() + pieces.text.size() / 2);
  pieces.at_origin = pieces.at_origin && pieces.spans.front().begin == 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const size_t begin = text.size();
    write(pieces[i], i == 0 && pieces.at_origin, text);
    pieces.spans[i] = {begin, text.size()};
  }
  pieces.text = std::move(text);
}

Step split(const JsonObject& json) {
  expect_keys(json, {"pattern", "behavior", "invert"});
  return [pattern = read_pattern(json), behavior = read_behavior(json), invert = read_flag(json, "invert")](
             Pieces& pieces) { split_by(pieces, pattern, behavior, invert); };
}

Step prefix_space() {
  return [](Pieces& pieces) {
    rewrite(pieces, [](std::string_view piece, bool, std::string& text) {
      if (!piece.starts_with(' ')) text += ' ';
      text += piece;
    });
  };
}

// How GPT-2 cuts a text into words.
Step gpt2_words() {
  Regex pattern(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", "ByteLevel");
  return [pattern = std::move(pattern)](Pieces& pieces) {
    split_by(pieces, pattern, SplitBehavior::isolated, false);
  };
}

Step map_bytes() {
  return [](Pieces& pieces) {
    rewrite(pieces, [](std::string_view piece, bool, std::string& text) {
      for (const char byte : piece) append_utf8(text, byte_level_character(static_cast<unsigned char>(byte)));
    });
  };
}

Step metaspace(const JsonObject& json) {
  expect_keys(json, {"replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"});
  std::string replacement = json.string("replacement");
  if (replacement.empty() || utf8_length(replacement.front()) != replacement.size())
    fail("{}: 'replacement': expected one character, got {}", json.where(), shown(Json(replacement)));
  const std::string scheme = json.string("prepend_scheme", "always");
  if (scheme != "first" && scheme != "always" && scheme != "never")
    fail("{}: 'prepend_scheme': expected first, always or never, got {}", json.where(), shown(Json(scheme)));
  if (!json.boolean("add_prefix_space", true) && scheme != "never")
    fail("{}: 'add_prefix_space' is false, expected 'prepend_scheme' never, got {}", json.where(), scheme);

  Regex pattern = Regex::literal(replacement, json.where());
  return [replacement = std::move(replacement), pattern = std::move(pattern), first = scheme == "first",
          never = scheme == "never", cut = json.boolean("split", true)](Pieces& pieces) {
    rewrite(pieces, [&](std::string_view piece, bool begins, std::string& text) {
      const bool marked = piece.starts_with(' ') || piece.starts_with(replacement);
      if (!marked && !never && (begins || !first)) text += replacement;
      for (size_t space = piece.find(' '); space != piece.npos; space = piece.find(' ')) {
        text.append(piece, 0, space).append(replacement);
        piece.remove_prefix(space + 1);
      }
      text += piece;
    });
    if (cut) split_by(pieces, pattern, SplitBehavior::merged_with_next, false);
  };
}

Step split_at(CharacterSet set, SplitBehavior behavior) {
  return [set, behavior](Pieces& pieces) { split_by(pieces, set, behavior); };
}

Step digits(const JsonObject& json) {
  expect_keys(json, {"individual_digits"});
  const bool single = read_flag(json, "individual_digits");
  return split_at(CharacterSet::numeric, single ? SplitBehavior::isolated : SplitBehavior::contiguous);
}

Step punctuation(const JsonObject& json) {
  expect_keys(json, {"behavior"});
  return split_at(CharacterSet::punctuation,
                  json.has("behavior") ? read_behavior(json) : SplitBehavior::isolated);
}

Step simple(const JsonObject& json, Step step) {
  expect_keys(json, {});
  return step;
}

Step step_of(const JsonObject& json) {
  const std::string type = json.string("type");
  if (type == "Split") return split(json);
  if (type == "Metaspace") return metaspace(json);
  if (type == "Digits") return digits(json);
  if (type == "Punctuation") return punctuation(json);
  if (type == "Whitespace") return simple(json, split_words);
  if (type == "WhitespaceSplit")
    return simple(json, split_at(CharacterSet::white_space, SplitBehavior::removed));
  fail(
      "{}: 'type': expected Split, ByteLevel, Metaspace, Digits, Whitespace, WhitespaceSplit, Punctuation or "
      "Sequence, got {}",
      json.where(), shown(Json(type)));
}

}  // namespace

PreTokenizer PreTokenizer::parse(const JsonObject& json) {
  PreTokenizer result;
  result.add(json);
  return result;
}

void PreTokenizer::add(const JsonObject& json) {
  const std::string type = json.string("type");
  if (type == "Sequence") {
    expect_keys(json, {"pretokenizers"});
    return for_each_object(json, "pretokenizers", [&](const JsonObject& part) { add(part); });
  }
  // What follows ByteLevel sees its characters, not the text's.
  if (std::exchange(byte_level_, false)) steps_.push_back(map_bytes());
  if (type != "ByteLevel") return steps_.push_back(step_of(json));
  expect_keys(json, {"add_prefix_space", "trim_offsets", "use_regex"});
  if (read_flag(json, "add_prefix_space")) steps_.push_back(prefix_space());
  if (json.boolean("use_regex", true)) steps_.push_back(gpt2_words());
  byte_level_ = true;
}

void PreTokenizer::split(Pieces& pieces) const {
  for (const Step& step : steps_) step(pieces);
}

char32_t byte_level_character(unsigned char byte) {
  // Printable Latin-1 characters stand for themselves, the other bytes for 256, 257, ... in order.
  if ((byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte != 0xad)) return byte;
  if (byte < '!') return 256 + byte;
  return byte == 0xad ? 323 : 256 + 33 + (byte - 0x7f);
}

}  // namespace decovec
