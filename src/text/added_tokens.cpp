#include "text/added_tokens.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace decovec {
namespace {

// Unicode's White_Space, in UTF-8.
constexpr std::array<std::string_view, 25> kWhiteSpace = {
    "\t",           "\n",           "\v",           "\f",           "\r",           " ",
    "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x81", "\xe2\x80\x82",
    "\xe2\x80\x83", "\xe2\x80\x84", "\xe2\x80\x85", "\xe2\x80\x86", "\xe2\x80\x87", "\xe2\x80\x88",
    "\xe2\x80\x89", "\xe2\x80\x8a", "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f",
    "\xe3\x80\x80"};

std::string_view without_spaces_before(std::string_view text) {
  for (;;) {
    const auto space =
        std::find_if(kWhiteSpace.begin(), kWhiteSpace.end(), [&](auto s) { return text.starts_with(s); });
    if (space == kWhiteSpace.end()) return text;
    text.remove_prefix(space->size());
  }
}

std::string_view without_spaces_after(std::string_view text) {
  for (;;) {
    const auto space =
        std::find_if(kWhiteSpace.begin(), kWhiteSpace.end(), [&](auto s) { return text.ends_with(s); });
    if (space == kWhiteSpace.end()) return text;
    text.remove_suffix(space->size());
  }
}

size_t first_byte(std::string_view text) { return static_cast<unsigned char>(text.front()); }

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), by_first_byte_(256) {
  std::sort(tokens_.begin(), tokens_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (size_t i = 0; i < tokens_.size(); ++i) {
    index_[tokens_[i].id] = i;
    by_first_byte_[first_byte(tokens_[i].content)].push_back(i);
  }
  for (auto& places : by_first_byte_)
    std::sort(places.begin(), places.end(),
              [&](size_t a, size_t b) { return tokens_[a].content.size() > tokens_[b].content.size(); });
}

const AddedToken* AddedTokens::find(int64_t id) const {
  const auto found = index_.find(id);
  return found == index_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::longest_at(std::string_view text, size_t position) const {
  const std::string_view rest = text.substr(position);
  for (const size_t place : by_first_byte_[first_byte(rest)])
    if (rest.starts_with(tokens_[place].content)) return &tokens_[place];
  return nullptr;
}

void AddedTokens::split(std::string_view text, const std::function<void(std::string_view)>& on_stretch,
                        const std::function<void(const AddedToken&)>& on_token) const {
  size_t done = 0;  // where the stretch that is not given out yet begins
  for (size_t position = 0; position < text.size();) {
    const AddedToken* token = longest_at(text, position);
    if (token == nullptr) {
      ++position;
      continue;
    }
    // White space swallowed by one token is not there for the next; tokens are found in the text as it was.
    size_t begin = position, end = position + token->content.size();
    position = end;
    if (token->lstrip) begin = without_spaces_after(text.substr(0, begin)).size();
    if (token->rstrip) end = text.size() - without_spaces_before(text.substr(end)).size();
    if (begin > done) on_stretch(text.substr(done, begin - done));
    on_token(*token);
    done = end;
  }
  if (done < text.size()) on_stretch(text.substr(done));
}

}  // namespace decovec
