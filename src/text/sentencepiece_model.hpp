// A sentencepiece model file (the protobuf message ModelProto), as far as decovec needs to know it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace decovec {

struct SentencePieceModel {
  enum class Kind { unigram = 1, bpe = 2, word = 3, character = 4 };
  enum class PieceType { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    PieceType type = PieceType::normal;
  };

  std::string bytes;          ///< the file
  std::vector<Piece> pieces;  ///< by id

  Kind kind = Kind::unigram;
  bool byte_fallback = false;
  bool treat_whitespace_as_suffix = false;

  std::string normalization_rule_name;
  bool has_normalization_rules = false;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

/// Reads a model and checks all that the sentencepiece library trusts. `where` names the file in errors.
/// Throws std::runtime_error for anything corrupt.
SentencePieceModel parse_sentencepiece_model(std::string bytes, const std::string& where);

}  // namespace decovec
