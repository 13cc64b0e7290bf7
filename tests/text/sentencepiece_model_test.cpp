#include "text/sentencepiece_model.hpp"

#include <gtest/gtest.h>

#include "decovec/text/tokenizer.hpp"
#include "text/fixture.hpp"

namespace decovec {
namespace {

using PieceType = SentencePieceModel::PieceType;

// One field of protobuf's wire format.
std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string number(int field, uint64_t value) { return varint(field << 3 | 0) + varint(value); }
std::string bytes(int field, const std::string& value) {
  return varint(field << 3 | 2) + varint(value.size()) + value;
}
std::string piece(const std::string& text, PieceType type) {
  return bytes(1, bytes(1, text) + number(3, static_cast<uint64_t>(type)));
}
std::string u32(uint32_t value) {
  std::string text;
  for (int i = 0; i < 4; ++i) text += static_cast<char>(value >> 8 * i);
  return text;
}

const std::string kSpecs = bytes(2, "") + bytes(3, "");
const std::string kUnknown = kSpecs + piece("<unk>", PieceType::unknown);

std::string parse_error(const std::string& model) {
  return message_of([&] { parse_sentencepiece_model(model, "t.model"); });
}

// Whether the file loads. Whatever it holds, there is no crash, and no other kind of exception.
bool loads(const TemporaryFolder& folder, const std::string& model) {
  put(folder / "tokenizer.model", model);
  try {
    const auto tokenizer = Tokenizer::load(folder.path());
    tokenizer->ids("the body <s> of \xe5\x8c\x97 x");
    return true;
  } catch (const std::runtime_error& error) {
    EXPECT_TRUE(has(error.what(), "tokenizer.model")) << error.what();
    return false;
  }
}

TEST(SentencePieceModel, ReadsPiecesAndSettings) {
  const SentencePieceModel model = parse_sentencepiece_model(fixture_model(), "t.model");
  const Json vocab = reference("tokenizer.json")["model"]["vocab"];
  ASSERT_EQ(model.pieces.size(), 800u);
  for (size_t id = 0; id < 800; ++id) EXPECT_EQ(vocab[model.pieces[id].text], id);
  EXPECT_EQ(model.pieces[0].type, PieceType::unknown);
  EXPECT_EQ(model.pieces[1].type, PieceType::control);
  EXPECT_EQ(model.pieces[3].type, PieceType::byte);
  EXPECT_EQ(model.pieces[260].type, PieceType::normal);
  EXPECT_EQ(model.pieces[260].score, -1.0f);
  EXPECT_EQ(model.kind, SentencePieceModel::Kind::bpe);
  EXPECT_EQ(model.normalization_rule_name, "identity");
  EXPECT_TRUE(model.byte_fallback && model.add_dummy_prefix && model.escape_whitespaces);
  EXPECT_FALSE(model.remove_extra_whitespaces || model.treat_whitespace_as_suffix ||
               model.has_normalization_rules);
  EXPECT_EQ(model.bytes, fixture_model());
}

TEST(SentencePieceModel, RefusesTruncatedFiles) {
  const std::string model = fixture_model();
  const TemporaryFolder folder;
  for (size_t size = 0; size < model.size(); size += size < 64 || size + 200 > model.size() ? 1 : 37)
    EXPECT_FALSE(loads(folder, model.substr(0, size))) << size;
  EXPECT_TRUE(loads(folder, model));
}

TEST(SentencePieceModel, SurvivesCorruptBytes) {
  const std::string model = fixture_model();
  const TemporaryFolder folder;
  uint64_t state = 1;
  const auto draw = [&](size_t end) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<size_t>((state >> 33) % end);
  };
  for (int round = 0; round < 400; ++round) {
    std::string corrupt = model;
    for (size_t changes = 1 + draw(4); changes-- > 0;)
      corrupt[round % 2 ? draw(corrupt.size()) : corrupt.size() - 1 - draw(80)] =
          static_cast<char>(draw(256));
    loads(folder, corrupt);
  }
}

TEST(SentencePieceModel, RefusesWhatIsNoModel) {
  EXPECT_TRUE(has(parse_error(""), "t.model: not a sentencepiece model: it has no pieces"));
  EXPECT_TRUE(has(parse_error("hello, I am a text file\n"), "not a sentencepiece model"));
  EXPECT_TRUE(has(parse_error(std::string(1000, '\0')), "no valid number"));
  EXPECT_TRUE(has(parse_error(std::string(20, '\xff')), "a number is too long"));
  EXPECT_TRUE(has(parse_error("\x0a\x7f"
                              "abc"),
                  "ends inside a field"));
  EXPECT_TRUE(has(parse_error(number(1, 5)), "field 1 has the wrong type"));
  EXPECT_TRUE(has(parse_error("\x0b"), "unknown type"));
}

TEST(SentencePieceModel, RefusesPiecesThatSentencePieceTrusts) {
  const auto normal = [](const std::string& text) { return piece(text, PieceType::normal); };
  EXPECT_TRUE(has(parse_error(kUnknown + normal("")), "piece 1 is corrupt"));
  EXPECT_TRUE(has(parse_error(kUnknown + normal(std::string(8000, 'a'))), "piece 1 is corrupt"));
  EXPECT_TRUE(has(parse_error(kUnknown + normal(std::string("a\0b", 3))), "with a NUL"));
  EXPECT_TRUE(has(parse_error(kUnknown + normal("\xff")), "not UTF-8"));
  EXPECT_TRUE(has(parse_error(kUnknown + normal("a") + normal("a")), "pieces 1 and 2 are the same text"));
  EXPECT_TRUE(has(parse_error(normal("a") + kSpecs), "expected one piece for unknown text, got 0"));
  EXPECT_TRUE(has(parse_error(kUnknown + piece("x", PieceType::unknown)), "unknown text, got 2"));
  EXPECT_TRUE(has(parse_error(kUnknown + bytes(1, bytes(1, "a") + number(3, 9))), "a type is unknown"));
  EXPECT_TRUE(has(parse_error(kUnknown + bytes(2, number(3, 0))), "a type is unknown"));
  const std::string not_a_number = varint(2 << 3 | 5) + u32(0x7fc00000);
  EXPECT_TRUE(has(parse_error(kUnknown + bytes(1, bytes(1, "a") + not_a_number)), "its score is nan"));

  std::string nested = kUnknown;
  for (size_t size = 1; size <= 64; ++size) nested += piece(std::string(size, 'a'), PieceType::user_defined);
  EXPECT_NO_THROW(parse_sentencepiece_model(nested, "t.model"));
  nested += piece(std::string(65, 'a'), PieceType::user_defined);
  EXPECT_TRUE(has(parse_error(nested), "more than 64 user-defined pieces begin the same"));
}

// A double array of 512 units in which one rule leads from "A" to a value.
std::string rules(uint32_t root, uint32_t unit_a, uint32_t value, const std::string& replacements) {
  std::vector<uint32_t> units(512, 0xffffffff);
  units[0] = root;
  units[256 + 'A'] = unit_a;
  if (const uint32_t at = (256 + 'A') ^ (unit_a >> 10); at < units.size()) units[at] = value;
  std::string array;
  for (const uint32_t unit : units) array += u32(unit);
  return u32(static_cast<uint32_t>(array.size())) + array + replacements;
}
std::string with_rules(const std::string& charsmap) {
  return kUnknown + piece("a", PieceType::normal) + bytes(3, bytes(2, charsmap));
}

TEST(SentencePieceModel, RefusesCorruptNormalizationRules) {
  constexpr uint32_t kRule = 1 << 8, kValue = 1u << 31;
  const uint32_t root = 256 << 10, to_b = 'A' | kRule | ('A' ^ 'B') << 10;
  const std::string replacements("x\0y\0", 4);
  const auto error_of = [](const std::string& charsmap) { return parse_error(with_rules(charsmap)); };

  EXPECT_NO_THROW(parse_sentencepiece_model(with_rules(rules(root, to_b, kValue | 2, replacements)), ""));
  EXPECT_TRUE(has(error_of(rules(root, to_b, kValue | 4, replacements)), "outside the table"));
  EXPECT_TRUE(has(error_of(rules(root, to_b, kValue | 0x7fffffff, replacements)), "outside the table"));
  EXPECT_TRUE(has(error_of(rules(1 << 20, to_b, kValue, replacements)), "outside the array"));
  EXPECT_TRUE(has(error_of(rules(root, 'A' | kRule | 1 << 20, kValue, replacements)), "outside the array"));
  EXPECT_TRUE(has(error_of(rules(root, 'A' | 'A' << 10, 'A', replacements)), "too long"));  // in a circle
  EXPECT_TRUE(has(error_of(rules(root, to_b, kValue, "xy")), "sizes do not fit"));
  EXPECT_TRUE(has(error_of("abc"), "sizes do not fit"));
  EXPECT_TRUE(has(error_of(u32(0xfffffff0) + "abcd"), "sizes do not fit"));
  EXPECT_TRUE(has(error_of(u32(0) + std::string(1, '\0')), "there is no rule"));
}

}  // namespace
}  // namespace decovec
