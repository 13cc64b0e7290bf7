#include <algorithm>
#include <string>

#include "decovec/text/tokenizer.hpp"
#include "io/error.hpp"
#include "text/text_input.hpp"
#include "text/unicode.hpp"

namespace decovec {
namespace {

int64_t required(std::optional<int64_t> id, std::string_view name) {
  if (!id) reject("the rule asks for {}, which the tokenizer does not have", name);
  return *id;
}

// BOS, the text's ids, EOS: at most max_length of them.
TokenSequence in_template(const Tokenizer& tokenizer, const SequenceRule& rule, std::string_view text,
                          Truncate truncate, int64_t max_length) {
  TokenSequence sequence;
  std::vector<int64_t>& ids = sequence.ids;
  if (rule.bos) ids.push_back(required(tokenizer.bos(), "BOS"));
  const std::vector<int64_t> body = tokenizer.ids(text);
  ids.insert(ids.end(), body.begin(), body.end());
  if (rule.eos == EndOfText::cut) ids.push_back(required(tokenizer.eos(), "EOS"));
  const bool kept = rule.eos == EndOfText::kept;
  const auto room = static_cast<size_t>(max_length - (kept ? 1 : 0));
  if (ids.size() > room) {
    if (truncate == Truncate::error)
      reject(
          "instruction, text and special tokens: expected at most {} ids, got {}; raise the "
          "maximal length or cut texts",
          max_length, ids.size() + (kept ? 1 : 0));
    sequence.truncated = true;
    ids.resize(room);
  }
  if (kept) ids.push_back(required(tokenizer.eos(), "EOS"));
  return sequence;
}

// Without the white space at the end, and maybe at the begin.
std::string_view strip(std::string_view text, bool also_begin) {
  check_text(text);
  size_t begin = text.size(), end = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t from = at;
    if (is_in(CharacterSet::white_space, next_code_point(text, at))) continue;
    begin = std::min(begin, from);
    end = at;
  }
  if (!also_begin) begin = 0;
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

// A text with all that stands around it, in its two parts.
struct Parts {
  std::string instruction, text;
};

Parts parts_of(const SequenceRule& rule, std::string_view instruction, std::string_view text) {
  Parts parts{rule.before, {}};
  if (rule.instruction == InstructionPooling::llm2vec && !instruction.empty()) {
    parts.instruction += strip(instruction, true);
    parts.instruction += ' ';
  } else {
    parts.instruction += instruction;
  }
  parts.text = rule.after.empty() ? text : strip(text, false);
  parts.text += rule.after;
  return parts;
}

int64_t unpooled(const Tokenizer& tokenizer, const SequenceRule& rule, const Parts& parts, int64_t length,
                 int64_t max_length) {
  const std::string& instruction = parts.instruction;
  if (rule.instruction == InstructionPooling::llm2vec) {
    const auto pooled = static_cast<int64_t>(tokenizer.ids(parts.text).size());
    return pooled == 0 ? 0 : std::max<int64_t>(0, length - pooled);
  }
  if (instruction.empty()) return 0;
  switch (rule.instruction) {
    case InstructionPooling::pooled:
      return 0;
    case InstructionPooling::nv_embed:
      return static_cast<int64_t>(tokenizer.ids(instruction).size());
    case InstructionPooling::llm2vec:
      break;
    case InstructionPooling::sentence_transformers: {
      SequenceRule alone = rule;
      if (alone.eos == EndOfText::cut) alone.eos = EndOfText::none;  // a part of texts, not of the template
      const std::vector<int64_t> ids =
          in_template(tokenizer, alone, instruction, Truncate::right, max_length).ids;
      const bool ends_special = !ids.empty() && tokenizer.is_special(ids.back());
      return static_cast<int64_t>(ids.size()) - (ends_special ? 1 : 0);
    }
  }
  reject("unknown instruction pooling");
}

}  // namespace

TokenSequence make_sequence(const Tokenizer& tokenizer, const SequenceRule& rule,
                            std::string_view instruction, std::string_view text, Truncate truncate,
                            int64_t max_length) {
  return at_boundary("make_sequence", [&] {
    const int64_t limit = max_length == 0 ? rule.max_length : max_length;
    const int64_t least = std::max<int64_t>(1, (rule.bos ? 1 : 0) + (rule.eos == EndOfText::kept ? 1 : 0));
    if (limit < least) reject("max_length: expected at least {}, got {}", least, limit);
    const Parts parts = parts_of(rule, instruction, text);
    TokenSequence sequence = in_template(tokenizer, rule, parts.instruction + parts.text, truncate, limit);
    const auto length = static_cast<int64_t>(sequence.ids.size());
    sequence.pool_begin = std::min(unpooled(tokenizer, rule, parts, length, limit), length);
    return sequence;
  });
}

}  // namespace decovec
