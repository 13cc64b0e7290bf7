#include "text/bpe.hpp"

#include <algorithm>
#include <set>

#include "io/error.hpp"
#include "text/last_character.hpp"
#include "text/pre_tokenizer.hpp"
#include "text/unicode.hpp"

namespace decovec {
namespace {

constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581, a space as sentencepiece writes it
constexpr char32_t kSpaceCharacter = 0x2581;

// The bytes that a byte-level vocabulary spells, or none where the token holds a character that spells none.
std::optional<std::string> spelled_bytes(std::string_view token) {
  constexpr size_t kCharacters = 324;  // one behind the last of them
  static const auto bytes = [] {
    std::array<int, kCharacters> table;
    table.fill(-1);
    for (int byte = 0; byte < 256; ++byte)
      table[byte_level_character(static_cast<unsigned char>(byte))] = byte;
    return table;
  }();
  std::string text;
  for (size_t at = 0; at < token.size();) {
    const char32_t character = next_code_point(token, at);
    if (character >= kCharacters || bytes[character] < 0) return std::nullopt;
    text += static_cast<char>(bytes[character]);
  }
  return text;
}

char32_t last_code_point(std::string_view text) {
  size_t at = begin_of_last_character(text);
  return next_code_point(text, at);
}

void check_settings(const JsonObject& model) {
  static const std::set<std::string> known = {"type",
                                              "dropout",
                                              "unk_token",
                                              "continuing_subword_prefix",
                                              "end_of_word_suffix",
                                              "fuse_unk",
                                              "byte_fallback",
                                              "ignore_merges",
                                              "vocab",
                                              "merges"};
  for (const auto& entry : model.raw().items())
    if (!known.contains(entry.key())) fail("{}: the key '{}' is not known", model.where(), entry.key());
  if (const std::string type = model.string("type", "BPE"); type != "BPE")
    fail("{}: 'type': expected BPE, the only model that decovec reads, got {}", model.where(), type);
  if (model.number("dropout", 0) != 0)
    fail("{}: 'dropout': expected none, got {}: ids would be random", model.where(), model.number("dropout"));
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model.string(key, "").empty())
      fail("{}: '{}': expected none, got {}", model.where(), key, shown(model.string(key)));
}

// As it stands in the model: it is large.
const Json& vocabulary_of(const JsonObject& model) {
  const auto found = model.raw().find("vocab");
  if (found == model.raw().end() || !found->is_object() || found->empty())
    fail("{}: 'vocab': expected tokens with their ids, got {}", model.where(),
         found == model.raw().end() ? "nothing" : shown(*found));
  return *found;
}

}  // namespace

Bpe Bpe::parse(const JsonObject& model, bool byte_level) {
  check_settings(model);
  Bpe bpe;
  bpe.where_ = model.where();
  bpe.byte_level_ = byte_level;
  bpe.byte_fallback_ = model.boolean("byte_fallback", false);
  bpe.fuse_unknown_ = model.boolean("fuse_unk", false);
  bpe.ignore_merges_ = model.boolean("ignore_merges", false);
  bpe.unknown_ = model.string("unk_token", "");
  bpe.read_vocabulary(model);
  bpe.read_merges(model);
  bpe.index_whole_tokens(model);
  return bpe;
}

void Bpe::read_vocabulary(const JsonObject& model) {
  const Json& tokens = vocabulary_of(model);
  constexpr uint64_t kMaxId = (uint64_t{1} << 31) - 1;
  vocabulary_ = Vocabulary(tokens.size());
  std::vector<uint32_t> ids;
  for (const auto& entry : tokens.items()) {
    const std::string& token = entry.key();
    const Json& id = entry.value();
    if (!id.is_number_unsigned() || id.get<uint64_t>() > kMaxId)
      fail("{}: 'vocab': token {}: expected an id from 0 to {}, got {}", where_, shown(token), kMaxId,
           shown(id));
    ids.push_back(id.get<uint32_t>());
    vocabulary_.add(token, ids.back());
    size_t end = 0;
    const char32_t first = token.empty() ? 0 : next_code_point(token, end);
    if (!token.empty() && end == token.size()) character_ids_[first] = ids.back();
  }
  std::sort(ids.begin(), ids.end());
  if (const auto twice = std::adjacent_find(ids.begin(), ids.end()); twice != ids.end())
    fail("{}: 'vocab': two tokens have the id {}", where_, *twice);
  size_ = int64_t{ids.back()} + 1;

  if (!unknown_.empty()) unknown_id_ = vocabulary_.find(unknown_);
  for (unsigned byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = id_of_character(character_of(static_cast<unsigned char>(byte)));
    fallback_ids_[byte] = vocabulary_.find(fmt::format("<0x{:02X}>", byte)).value_or(kNoId);
  }
}

void Bpe::read_merges(const JsonObject& model) {
  if (!model.has("merges") || !model.raw().at("merges").is_array())
    fail("{}: 'merges': expected a list", model.where());
  const Json& merges = model.raw().at("merges");
  const bool pairs = merges.empty() || merges[0].is_array();
  merges_ = MergeTable(merges.size());
  words_ = !byte_level_ && !ignore_merges_ && vocabulary_.find(kSpace);
  uint32_t rank = 0;
  for (size_t i = 0; i < merges.size(); ++i) {
    const Json& merge = merges[i];
    std::string_view left, right;
    if (pairs && merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get_ref<const std::string&>();
      right = merge[1].get_ref<const std::string&>();
    } else if (!pairs && merge.is_string()) {
      const std::string_view line = merge.get_ref<const std::string&>();
      if (line.starts_with("#version")) continue;  // a line of the older file merges.txt
      const size_t space = line.find(' ');
      if (space != line.npos && line.find(' ', space + 1) == line.npos) {
        left = line.substr(0, space);
        right = line.substr(space + 1);
      }
    }
    if (left.empty() || right.empty())
      fail("{}: 'merges': merge {}: expected {}, got {}", model.where(), i,
           pairs ? "a list of two tokens" : "two tokens with a space between them", shown(merge));
    add_merge(left, right, rank++);
  }
}

void Bpe::add_merge(std::string_view left, std::string_view right, uint32_t rank) {
  const auto id = [&](std::string_view token) {
    const auto found = vocabulary_.find(token);
    if (!found)
      fail("{}: 'merges': {} + {}: expected a token of the vocabulary, got {}", where_,
           shown(std::string(left)), shown(std::string(right)), shown(std::string(token)));
    return *found;
  };
  const uint32_t left_id = id(left), right_id = id(right);
  merges_.set(left_id, right_id, rank, id(std::string(left).append(right)));

  if (!words_ || !right.starts_with(kSpace) || left.ends_with(kSpace)) return;
  joined_.insert(last_code_point(left));
  // What stands for a character that is no token does not show it.
  if (left_id == unknown_id_ ||
      std::find(fallback_ids_.begin(), fallback_ids_.end(), left_id) != fallback_ids_.end())
    words_ = false;
}

void Bpe::index_whole_tokens(const JsonObject& model) {
  whole_ = Vocabulary(vocabulary_.size());
  std::vector<uint32_t> symbols;
  for (const auto& entry : vocabulary_of(model).items()) {
    const std::optional<std::string> text =
        byte_level_ ? spelled_bytes(entry.key()) : std::optional(entry.key());
    if (!text || text->empty()) continue;
    const auto id = entry.value().get<uint32_t>();
    symbols.clear();
    if (!ignore_merges_) {
      if (!append_symbols(*text, symbols)) continue;
      merges_.apply(symbols, 0);
    }
    if (ignore_merges_ || (symbols.size() == 1 && symbols[0] == id)) whole_.add(*text, id);
  }
}

char32_t Bpe::character_of(unsigned char byte) const {
  return byte_level_ ? byte_level_character(byte) : char32_t{byte};
}

uint32_t Bpe::id_of_character(char32_t character) const {
  const auto found = character_ids_.find(character);
  return found == character_ids_.end() ? kNoId : found->second;
}

std::optional<int64_t> Bpe::id_of(std::string_view token) const {
  const auto found = vocabulary_.find(token);
  return found ? std::optional<int64_t>(*found) : std::nullopt;
}

// Appends what a character becomes that is no token; false where only an unknown token could stand for it.
bool Bpe::append_bytes(char32_t character, std::vector<uint32_t>& symbols) const {
  if (!byte_fallback_) return false;
  std::string bytes;
  append_utf8(bytes, character);
  const size_t before = symbols.size();
  for (const char byte : bytes) symbols.push_back(fallback_ids_[static_cast<unsigned char>(byte)]);
  if (std::find(symbols.begin() + static_cast<std::ptrdiff_t>(before), symbols.end(), kNoId) == symbols.end())
    return true;
  symbols.resize(before);
  return false;
}

bool Bpe::append_symbols(std::string_view piece, std::vector<uint32_t>& symbols) const {
  bool unknown = false;  // an unknown token is due before the next character that is a token
  for (size_t at = 0; at < piece.size();) {
    const auto byte = static_cast<unsigned char>(piece[at]);
    const bool single = byte_level_ || byte < 0x80;
    const char32_t character = single ? character_of(byte) : next_code_point(piece, at);
    if (single) ++at;
    const uint32_t id = single ? byte_ids_[byte] : id_of_character(character);
    if (id != kNoId) {
      if (unknown) symbols.push_back(*unknown_id_);
      unknown = false;
      symbols.push_back(id);
    } else if (!append_bytes(character, symbols) && !unknown_.empty()) {
      if (!unknown_id_) return false;
      if (unknown && !fuse_unknown_) symbols.push_back(*unknown_id_);
      unknown = true;
    }
  }
  if (unknown) symbols.push_back(*unknown_id_);
  return true;
}

// Where the word that begins at `begin` ends. Words begin with U+2581 and are merged each by itself, which
// gives the same ids as merging the piece whole, as no merge leads over their beginnings.
size_t Bpe::end_of_word(std::string_view piece, size_t begin) const {
  if (!words_) return piece.size();
  for (size_t end = piece.find(kSpace, begin + 1); end != piece.npos; end = piece.find(kSpace, end + 1)) {
    const char32_t before = last_code_point(piece.substr(0, end));
    if (before != kSpaceCharacter && !joined_.contains(before)) return end;
  }
  return piece.size();
}

void Bpe::append_ids(std::string_view piece, std::vector<int64_t>& ids) const {
  std::vector<uint32_t> symbols;
  for (size_t begin = 0; begin < piece.size();) {
    const size_t end = end_of_word(piece, begin);
    const std::string_view word = piece.substr(begin, end - begin);
    begin = end;
    if (const auto id = whole_.find(word)) {
      ids.push_back(*id);
      continue;
    }
    symbols.clear();
    if (!append_symbols(word, symbols))
      fail("{}: 'unk_token': {} is no token of the vocabulary, and the text has a character that is none",
           where_, shown(unknown_));
    merges_.apply(symbols, 0);
    ids.insert(ids.end(), symbols.begin(), symbols.end());
  }
}

}  // namespace decovec
