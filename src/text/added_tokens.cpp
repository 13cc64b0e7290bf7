#include "text/added_tokens.hpp"

#include <algorithm>
#include <utility>

#include "text/last_character.hpp"
#include "text/unicode.hpp"

namespace decovec {
namespace {

bool is_in(CharacterSet set, std::string_view text, size_t at) {
  return is_in(set, next_code_point(text, at));
}

// Where the white space begins that ends at `end`, and not before `limit`.
size_t begin_of_spaces(std::string_view text, size_t limit, size_t end) {
  while (end > limit) {
    const size_t last = begin_of_last_character(text.substr(0, end));
    if (!is_in(CharacterSet::white_space, text, last)) break;
    end = last;
  }
  return end;
}

size_t end_of_spaces(std::string_view text, size_t begin) {
  while (begin < text.size()) {
    size_t next = begin;
    if (!is_in(CharacterSet::white_space, next_code_point(text, next))) break;
    begin = next;
  }
  return begin;
}

bool inside_word(std::string_view text, size_t begin, size_t end) {
  return (begin > 0 && is_in(CharacterSet::word, text, begin_of_last_character(text.substr(0, begin)))) ||
         (end < text.size() && is_in(CharacterSet::word, text, end));
}

std::vector<std::string_view> contents(const std::vector<AddedToken>& tokens) {
  std::vector<std::string_view> contents;
  for (const AddedToken& token : tokens) contents.push_back(token.content);
  return contents;
}

std::vector<AddedToken> sorted_by_id(std::vector<AddedToken> tokens) {
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return tokens;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens)
    : tokens_(sorted_by_id(std::move(tokens))), matcher_(contents(tokens_)) {
  for (size_t i = 0; i < tokens_.size(); ++i) index_[tokens_[i].id] = i;
}

const AddedToken* AddedTokens::find(int64_t id) const {
  const auto found = index_.find(id);
  return found == index_.end() ? nullptr : &tokens_[found->second];
}

void AddedTokens::split(std::string_view text, const std::function<void(std::string_view)>& on_stretch,
                        const std::function<void(const AddedToken&)>& on_token) const {
  const std::vector<PatternMatcher::Match> matches = matcher_.longest_at_each_place(text);
  size_t done = 0;        // where the stretch that is not given out yet begins
  size_t next = 0;        // where the next token may begin: tokens do not overlap
  size_t spaces_end = 0;  // of the white space that was passed last
  for (auto match = matches.rbegin(); match != matches.rend(); ++match) {
    if (match->begin < next) continue;
    const AddedToken& token = tokens_[match->pattern];
    size_t begin = match->begin, end = begin + token.content.size();
    next = end;
    if (token.single_word && inside_word(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(begin_of_spaces(text, done, begin), done);
    if (token.rstrip) {
      // Remembered, as a token of white space may stand at each place of a long run of it.
      if (spaces_end < end) spaces_end = end_of_spaces(text, end);
      end = spaces_end;
    }
    if (begin > done) on_stretch(text.substr(done, begin - done));
    // A token of white space that another took along whole is not there any more, if it looks to its left.
    if (begin < end) on_token(token);
    // Tokens are found in the text as it was: one inside the white space that another took along is found
    // too, and what follows it is given out again, as the library does.
    done = end;
  }
  if (done < text.size()) on_stretch(text.substr(done));
}

}  // namespace decovec
