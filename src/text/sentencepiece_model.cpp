#include "text/sentencepiece_model.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string_view>
#include <unordered_map>

#include "decovec/io/lines.hpp"
#include "io/error.hpp"
#include "text/charsmap.hpp"

namespace decovec {
namespace {

// Reads protobuf's wire format: a message is a run of (number, type, value) fields.
class Fields {
 public:
  Fields(std::string_view message, const std::string& where) : rest_(message), where_(where) {}

  /// Moves to the next field; false at the end.
  bool next() {
    if (rest_.empty()) return false;
    const uint64_t key = varint();
    number_ = key >> 3;
    type_ = static_cast<Type>(key & 7);
    if (number_ == 0 || number_ >= (1u << 29)) corrupt("a field has no valid number");
    switch (type_) {
      case Type::varint:
        value_ = varint();
        break;
      case Type::fixed64:
        bytes_ = take(8);
        break;
      case Type::bytes:
        bytes_ = take(varint());
        break;
      case Type::fixed32:
        bytes_ = take(4);
        break;
      default:
        corrupt("a field has an unknown type");
    }
    return true;
  }

  uint64_t number() const { return number_; }
  std::string_view bytes() const { return expect(Type::bytes), bytes_; }
  std::string text() const {
    if (!is_utf8(bytes())) corrupt("a text is not UTF-8");
    return std::string(bytes_);
  }
  bool boolean() const { return expect(Type::varint), value_ != 0; }
  /// An enumerator from 1 to `last`.
  int enumerator(int last) const {
    expect(Type::varint);
    if (value_ < 1 || value_ > static_cast<uint64_t>(last)) corrupt("a type is unknown");
    return static_cast<int>(value_);
  }
  float number32() const {
    expect(Type::fixed32);
    uint32_t bits = 0;
    for (size_t i = 4; i-- > 0;) bits = bits << 8 | static_cast<unsigned char>(bytes_[i]);
    return std::bit_cast<float>(bits);
  }

 private:
  enum class Type { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

  [[noreturn]] void corrupt(std::string_view what) const {
    fail("{}: not a sentencepiece model, or a corrupt one: {}", where_, what);
  }
  void expect(Type type) const {
    if (type_ != type) corrupt(fmt::format("field {} has the wrong type", number_));
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    corrupt("a number is too long");
  }
  std::string_view take(uint64_t size) {
    if (size > rest_.size()) corrupt("it ends inside a field");
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
  const std::string& where_;
  uint64_t number_ = 0, value_ = 0;
  Type type_ = Type::varint;
  std::string_view bytes_;
};

// The numbers of fields are those of sentencepiece_model.proto.
SentencePieceModel::Piece read_piece(Fields fields) {
  SentencePieceModel::Piece piece;
  while (fields.next()) switch (fields.number()) {
      case 1:
        piece.text = fields.text();
        break;
      case 2:
        piece.score = fields.number32();
        break;
      case 3:
        piece.type = static_cast<SentencePieceModel::PieceType>(fields.enumerator(6));
        break;
    }
  return piece;
}

void read_trainer_spec(Fields fields, SentencePieceModel& model) {
  while (fields.next()) switch (fields.number()) {
      case 3:
        model.kind = static_cast<SentencePieceModel::Kind>(fields.enumerator(4));
        break;
      case 24:
        model.treat_whitespace_as_suffix = fields.boolean();
        break;
      case 35:
        model.byte_fallback = fields.boolean();
        break;
    }
}

void read_normalizer_spec(Fields fields, SentencePieceModel& model, const std::string& where) {
  while (fields.next()) switch (fields.number()) {
      case 1:
        model.normalization_rule_name = fields.text();
        break;
      case 2:
        check_charsmap(fields.bytes(), where);
        model.has_normalization_rules = !fields.bytes().empty();
        break;
      case 3:
        model.add_dummy_prefix = fields.boolean();
        break;
      case 4:
        model.remove_extra_whitespaces = fields.boolean();
        break;
      case 5:
        model.escape_whitespaces = fields.boolean();
        break;
    }
}

// sentencepiece finds user-defined pieces at a position in an array of 64 that it does not watch.
void check_user_defined(const SentencePieceModel& model, const std::string& where) {
  constexpr size_t kRoom = 64;
  std::vector<std::string_view> texts;
  for (const auto& piece : model.pieces)
    if (piece.type == SentencePieceModel::PieceType::user_defined) texts.push_back(piece.text);
  std::sort(texts.begin(), texts.end());
  std::vector<std::string_view> nested;  // each begins the next
  for (const std::string_view text : texts) {
    while (!nested.empty() && !text.starts_with(nested.back())) nested.pop_back();
    nested.push_back(text);
    if (nested.size() > kRoom)
      fail("{}: more than {} user-defined pieces begin the same; sentencepiece cannot tell them apart", where,
           kRoom);
  }
}

void check_pieces(const SentencePieceModel& model, const std::string& where) {
  constexpr size_t kMaxBytes = 8000;  // sentencepiece's own limit
  if (model.pieces.empty()) fail("{}: not a sentencepiece model: it has no pieces", where);
  std::unordered_map<std::string_view, size_t> ids;
  size_t unknown = 0;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& [text, score, type] = model.pieces[id];
    if (text.empty() || text.size() >= kMaxBytes || text.find('\0') != std::string::npos)
      fail("{}: piece {} is corrupt: empty, longer than {} bytes, or with a NUL in it", where, id, kMaxBytes);
    if (!std::isfinite(score)) fail("{}: piece {} is corrupt: its score is {}", where, id, score);
    if (const auto [entry, added] = ids.emplace(text, id); !added)
      fail("{}: pieces {} and {} are the same text", where, entry->second, id);
    unknown += type == SentencePieceModel::PieceType::unknown;
  }
  if (unknown != 1) fail("{}: expected one piece for unknown text, got {}", where, unknown);
  check_user_defined(model, where);
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string bytes, const std::string& where) {
  SentencePieceModel model;
  model.bytes = std::move(bytes);
  bool has_trainer_spec = false, has_normalizer_spec = false;
  Fields fields(model.bytes, where);
  while (fields.next()) switch (fields.number()) {
      case 1:
        model.pieces.push_back(read_piece({fields.bytes(), where}));
        break;
      case 2:
        read_trainer_spec({fields.bytes(), where}, model);
        has_trainer_spec = true;
        break;
      case 3:
        read_normalizer_spec({fields.bytes(), where}, model, where);
        has_normalizer_spec = true;
        break;
      case 5: {
        SentencePieceModel denormalizer;  // not used, but the library reads it
        read_normalizer_spec({fields.bytes(), where}, denormalizer, where);
        break;
      }
    }
  check_pieces(model, where);
  // Both have defaults, but a trainer writes both, after the pieces: a file without them was cut.
  if (!has_trainer_spec || !has_normalizer_spec)
    fail("{}: the sentencepiece model ends early: it has no trainer_spec or no normalizer_spec", where);
  return model;
}

}  // namespace decovec
