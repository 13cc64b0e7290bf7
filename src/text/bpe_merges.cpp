#include "text/bpe_merges.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "io/error.hpp"

namespace decovec {
namespace {

using Piece = SentencePieceModel::Piece;
using PieceType = SentencePieceModel::PieceType;

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

bool is_character(std::string_view text) {
  return std::none_of(text.begin() + 1, text.end(), begins_character);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> bpe_merges(const SentencePieceModel& model) {
  // Only normal pieces are merged. Control and user-defined ones are cut out of the text before.
  std::unordered_set<std::string_view> all, normal;
  std::vector<const Piece*> by_score;
  for (const Piece& piece : model.pieces) {
    all.insert(piece.text);
    if (piece.type != PieceType::normal) continue;
    normal.insert(piece.text);
    by_score.push_back(&piece);
  }
  std::stable_sort(by_score.begin(), by_score.end(),
                   [](const Piece* a, const Piece* b) { return a->score > b->score; });

  std::vector<std::pair<std::string, std::string>> merges;
  const Piece* last = nullptr;  // the last piece that has merges
  for (const Piece* piece : by_score) {
    const std::string_view text = piece->text;
    const size_t before = merges.size();
    for (size_t cut = text.size() - 1; cut > 0; --cut) {
      if (!begins_character(text[cut])) continue;
      const std::string_view left = text.substr(0, cut), right = text.substr(cut);
      if (normal.contains(left) && normal.contains(right)) {
        merges.emplace_back(left, right);
        continue;
      }
      // sentencepiece merges characters that are no pieces too; tokenizer.json has bytes in their place.
      const auto mergeable = [&](auto part) {
        return normal.contains(part) || (is_character(part) && !all.contains(part));
      };
      if (mergeable(left) && mergeable(right))
        fail(
            "save_tokenizer: the sentencepiece model's piece '{}' has a character that is no piece, expected "
            "one for each",
            text);
    }
    if (merges.size() == before) continue;
    if (last != nullptr && last->score == piece->score)
      fail(
          "save_tokenizer: the sentencepiece model's pieces '{}' and '{}' have the same score {}, expected "
          "different ones",
          last->text, text, piece->score);
    last = piece;
  }
  return merges;
}

}  // namespace decovec
