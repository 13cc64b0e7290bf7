#include <algorithm>
#include <string>

#include "decovec/text/tokenizer.hpp"
#include "io/error.hpp"

namespace decovec {
namespace {

int64_t required(std::optional<int64_t> id, std::string_view name) {
  if (!id) reject("make_sequence: the rule asks for {}, which the tokenizer does not have", name);
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
          "make_sequence: instruction, text and special tokens: expected at most {} ids, got {}; raise the "
          "maximal length or cut texts",
          max_length, ids.size() + (kept ? 1 : 0));
    sequence.truncated = true;
    ids.resize(room);
  }
  if (kept) ids.push_back(required(tokenizer.eos(), "EOS"));
  return sequence;
}

int64_t unpooled(const Tokenizer& tokenizer, const SequenceRule& rule, std::string_view instruction,
                 int64_t max_length) {
  if (instruction.empty()) return 0;
  switch (rule.instruction) {
    case InstructionPooling::pooled:
      return 0;
    case InstructionPooling::nv_embed:
      return static_cast<int64_t>(tokenizer.ids(instruction).size());
    case InstructionPooling::sentence_transformers: {
      SequenceRule alone = rule;
      if (alone.eos == EndOfText::cut) alone.eos = EndOfText::none;  // a part of texts, not of the template
      const std::vector<int64_t> ids =
          in_template(tokenizer, alone, instruction, Truncate::right, max_length).ids;
      const bool ends_special = !ids.empty() && tokenizer.is_special(ids.back());
      return static_cast<int64_t>(ids.size()) - (ends_special ? 1 : 0);
    }
  }
  reject("make_sequence: unknown instruction pooling");
}

}  // namespace

TokenSequence make_sequence(const Tokenizer& tokenizer, const SequenceRule& rule,
                            std::string_view instruction, std::string_view text, Truncate truncate,
                            int64_t max_length) {
  return at_boundary("make_sequence", [&] {
    const int64_t limit = max_length == 0 ? rule.max_length : max_length;
    const int64_t least = std::max<int64_t>(1, (rule.bos ? 1 : 0) + (rule.eos == EndOfText::kept ? 1 : 0));
    if (limit < least) reject("make_sequence: max_length: expected at least {}, got {}", least, limit);
    const std::string whole = std::string(instruction) + std::string(text);
    TokenSequence sequence = in_template(tokenizer, rule, whole, truncate, limit);
    sequence.pool_begin =
        std::min(unpooled(tokenizer, rule, instruction, limit), static_cast<int64_t>(sequence.ids.size()));
    return sequence;
  });
}

}  // namespace decovec
