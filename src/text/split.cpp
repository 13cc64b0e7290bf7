#include "text/split.hpp"

#include <algorithm>
#include <vector>

#include "io/error.hpp"

namespace decovec {
namespace {

using Span = Pieces::Span;

// Puts together the spans of one piece from its parts, matches and what is between them, in order.
class SpanWriter {
 public:
  SpanWriter(std::vector<Span>& spans, SplitBehavior behavior)
      : spans_(spans), behavior_(behavior), first_(spans.size()) {}

  void part(size_t begin, size_t end, bool match) {
    const bool after_match = after_match_;
    after_match_ = match;
    switch (behavior_) {
      case SplitBehavior::removed:
        if (!match) spans_.push_back({begin, end});
        return;
      case SplitBehavior::isolated:
        return spans_.push_back({begin, end});
      case SplitBehavior::merged_with_previous:
        return join_or_put(match && !after_match, begin, end);
      case SplitBehavior::merged_with_next:
        return join_or_put(!match && after_match, begin, end);
      case SplitBehavior::contiguous:
        return join_or_put(match == after_match, begin, end);
    }
  }

 private:
  void join_or_put(bool join, size_t begin, size_t end) {
    if (join && spans_.size() > first_) {
      spans_.back().end = end;
    } else {
      spans_.push_back({begin, end});
    }
  }

  std::vector<Span>& spans_;
  SplitBehavior behavior_;
  size_t first_;
  bool after_match_ = false;
};

template <class SplitPiece>
void split_each(Pieces& pieces, const SplitPiece& split_piece) {
  std::vector<Span> spans;
  spans.reserve(pieces.spans.size() + pieces.text.size() / 4);
  for (size_t i = 0; i < pieces.size(); ++i) split_piece(pieces[i], pieces.spans[i].begin, spans);
  pieces.spans = std::move(spans);
}

}  // namespace

SplitBehavior read_behavior(const JsonObject& json) {
  const std::string name = json.string("behavior");
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  fail("{}: 'behavior': expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, got {}",
       json.where(), shown(Json(name)));
}

void split_by(Pieces& pieces, const Regex& pattern, SplitBehavior behavior, bool invert) {
  std::vector<Regex::Match> matches;
  split_each(pieces, [&](std::string_view piece, size_t begin, std::vector<Span>& spans) {
    pattern.find_all(piece, matches);
    SpanWriter writer(spans, behavior);
    size_t done = 0;
    for (const auto& match : matches) {
      if (done < match.begin) writer.part(begin + done, begin + match.begin, invert);
      writer.part(begin + match.begin, begin + match.end, !invert);
      done = match.end;
    }
    if (done < piece.size()) writer.part(begin + done, begin + piece.size(), invert);
  });
  if (pattern.matches_empty()) std::erase_if(pieces.spans, [](const Span& s) { return s.begin == s.end; });
}

void split_by(Pieces& pieces, CharacterSet set, SplitBehavior behavior) {
  split_each(pieces, [&](std::string_view piece, size_t begin, std::vector<Span>& spans) {
    SpanWriter writer(spans, behavior);
    size_t done = 0;
    for (size_t at = 0; at < piece.size();) {
      const size_t character = at;
      if (!is_in(set, next_code_point(piece, at))) continue;
      if (done < character) writer.part(begin + done, begin + character, false);
      writer.part(begin + character, begin + at, true);
      done = at;
    }
    if (done < piece.size()) writer.part(begin + done, begin + piece.size(), false);
  });
}

void split_words(Pieces& pieces) {
  enum class Kind { space, word, other };
  split_each(pieces, [&](std::string_view piece, size_t begin, std::vector<Span>& spans) {
    Kind before = Kind::space;
    for (size_t at = 0; at < piece.size();) {
      const size_t character = at;
      const char32_t c = next_code_point(piece, at);
      const Kind kind = is_in(CharacterSet::word, c)          ? Kind::word
                        : is_in(CharacterSet::white_space, c) ? Kind::space
                                                              : Kind::other;
      if (kind != Kind::space) {
        if (kind != before) spans.push_back({begin + character, begin + at});
        spans.back().end = begin + at;
      }
      before = kind;
    }
  });
}

}  // namespace decovec
