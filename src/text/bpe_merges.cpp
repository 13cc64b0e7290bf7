#include "text/bpe_merges.hpp"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <tuple>
#include <unordered_set>

#include "io/error.hpp"
#include "io/json.hpp"

namespace decovec {
namespace {

using Piece = SentencePieceModel::Piece;
using PieceType = SentencePieceModel::PieceType;

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

bool is_character(std::string_view text) {
  return std::none_of(text.begin() + 1, text.end(), begins_character);
}

// One character over and over.
bool is_run(std::string_view text) {
  size_t period = 1;
  while (period < text.size() && !begins_character(text[period])) ++period;
  return text.substr(period) == text.substr(0, text.size() - period);
}

struct Merge {
  std::string_view left, right;
  const Piece* piece;
  auto rank() const { return std::tuple(-piece->score, -std::ssize(left), -std::ssize(right)); }
};

// The pairs that make one piece.
std::vector<Merge> merges_of(const Piece& piece, const std::unordered_set<std::string_view>& all,
                             const std::unordered_set<std::string_view>& normal) {
  const auto mergeable = [&](std::string_view part) {
    return normal.contains(part) || (is_character(part) && !all.contains(part));
  };
  std::vector<Merge> merges;
  const std::string_view text = piece.text;
  for (size_t cut = 1; cut < text.size(); ++cut) {
    if (!begins_character(text[cut])) continue;
    const Merge merge = {text.substr(0, cut), text.substr(cut), &piece};
    if (normal.contains(merge.left) && normal.contains(merge.right))
      merges.push_back(merge);
    else if (mergeable(merge.left) && mergeable(merge.right))
      // sentencepiece merges characters that are no pieces too; tokenizer.json has bytes in their place.
      fail("save_tokenizer: the model's piece {} has a character that is no piece, expected one for each",
           shown(piece.text));
  }
  return merges;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> bpe_merges(const SentencePieceModel& model) {
  // Only normal pieces are merged. Control and user-defined ones are cut out of the text before.
  std::unordered_set<std::string_view> all, normal;
  for (const Piece& piece : model.pieces) {
    all.insert(piece.text);
    if (piece.type == PieceType::normal) normal.insert(piece.text);
  }
  std::vector<Merge> merges;
  for (const Piece& piece : model.pieces)
    if (piece.type == PieceType::normal)
      for (const Merge& merge : merges_of(piece, all, normal)) merges.push_back(merge);
  std::stable_sort(merges.begin(), merges.end(),
                   [](const Merge& a, const Merge& b) { return a.rank() < b.rank(); });

  std::vector<std::pair<std::string, std::string>> pairs;
  const Piece* last = nullptr;
  for (const Merge& merge : merges) {
    const Piece* piece = merge.piece;
    if (last != nullptr && last != piece && last->score == piece->score &&
        !(is_run(last->text) && is_run(piece->text)))
      fail("save_tokenizer: the model's pieces {} and {} have the score {}, expected different ones",
           shown(last->text), shown(piece->text), piece->score);
    last = piece;
    pairs.emplace_back(merge.left, merge.right);
  }
  return pairs;
}

}  // namespace decovec
