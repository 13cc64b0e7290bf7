#include <gtest/gtest.h>

#include "io/json.hpp"
#include "io/temporary_folder.hpp"
#include "text/normalizer.hpp"
#include "text/pre_tokenizer.hpp"
#include "text/unicode.hpp"

namespace decovec {
namespace {

std::vector<std::string> pieces_of(const PreTokenizer& pre_tokenizer, std::string_view text,
                                   bool at_origin = true) {
  Pieces pieces;
  pieces.assign(text, at_origin);
  pre_tokenizer.split(pieces);
  std::vector<std::string> list;
  for (size_t i = 0; i < pieces.size(); ++i) {
    EXPECT_FALSE(pieces[i].empty());
    std::string piece;
    if (pre_tokenizer.byte_level()) {
      for (const char byte : pieces[i])
        append_utf8(piece, byte_level_character(static_cast<unsigned char>(byte)));
    } else {
      piece = pieces[i];
    }
    list.push_back(std::move(piece));
  }
  return list;
}

PreTokenizer pre_tokenizer(const Json& json) { return PreTokenizer::parse({json, "tokenizer.json"}); }
Normalizer normalizer(const Json& json) { return Normalizer::parse({json, "tokenizer.json"}); }

TEST(PiecesReference, AreThoseOfTheTokenizersLibrary) {
  const Json rows = read_json(test_data() / "pieces.json");
  size_t cases = 0;
  for (const Json& row : rows) {
    SCOPED_TRACE(row["name"]);
    const bool normalizes = row.contains("normalizer");
    const Normalizer to_text = normalizes ? normalizer(row["normalizer"]) : Normalizer();
    const PreTokenizer to_pieces = normalizes ? PreTokenizer() : pre_tokenizer(row["pre_tokenizer"]);
    for (const Json& pair : row["cases"]) {
      const auto text = pair[0].get<std::string>();
      if (normalizes) {
        EXPECT_EQ(to_text.apply(text), pair[1].get<std::string>()) << pair[0];
      } else {
        EXPECT_EQ(pieces_of(to_pieces, text), pair[1].get<std::vector<std::string>>()) << pair[0];
      }
      ++cases;
    }
  }
  EXPECT_GT(cases, 3000u);
}

TEST(Normalizer, RefusesToFillTheMemory) {
  const Json grow = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(40, 'a')}};
  const std::string text(1 << 16, 'a');
  EXPECT_EQ(normalizer(grow).apply(text).size(), text.size() * 40);
  const Json twice = {{"type", "Sequence"}, {"normalizers", {grow, grow}}};
  try {
    normalizer(twice).apply(text);
    FAIL() << "accepted";
  } catch (const std::runtime_error& error) {
    EXPECT_NE(std::string(error.what()).find("'normalizer'"), std::string::npos) << error.what();
  }
}

TEST(PreTokenizer, WithoutStepsKeepsTheText) {
  EXPECT_EQ(pieces_of(PreTokenizer(), "a b"), (std::vector<std::string>{"a b"}));
  EXPECT_EQ(pieces_of(PreTokenizer(), ""), (std::vector<std::string>{}));
  EXPECT_FALSE(PreTokenizer().byte_level());
  EXPECT_TRUE(Normalizer().identity());
  EXPECT_EQ(Normalizer().apply(" a"), " a");
}

TEST(PreTokenizer, FirstIsOnlyWhereTheOriginalTextBegins) {
  const Json first = {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", "first"}};
  EXPECT_EQ(pieces_of(pre_tokenizer(first), "a b"), (std::vector<std::string>{"▁a", "▁b"}));
  EXPECT_EQ(pieces_of(pre_tokenizer(first), "a b", false), (std::vector<std::string>{"a", "▁b"}));
}

TEST(Normalizer, TellsWhereTheBeginningIsDropped) {
  const auto origin_after = [](const Json& json, std::string text) {
    bool at_origin = true;
    normalizer(json).apply(text, at_origin);
    return at_origin;
  };
  const Json strip = {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}};
  EXPECT_TRUE(origin_after(strip, "a "));
  EXPECT_FALSE(origin_after(strip, " a"));
  const Json shorten = {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", " "}};
  EXPECT_TRUE(origin_after(shorten, "a  b"));
  EXPECT_FALSE(origin_after(shorten, "  b"));
  EXPECT_TRUE(origin_after({{"type", "NFC"}}, "e\u0301"));
  EXPECT_FALSE(origin_after({{"type", "StripAccents"}},
                            "\u0301"
                            "e"));
}

Json split_by(const Json& pattern, const Json& behavior = "Isolated") {
  return {{"type", "Split"}, {"pattern", pattern}, {"behavior", behavior}, {"invert", false}};
}
Json replace(const Json& pattern) { return {{"type", "Replace"}, {"pattern", pattern}, {"content", "b"}}; }

TEST(Normalizer, RefusesByName) {
  const std::vector<std::pair<Json, std::string>> cases = {
      {{{"type", "Nmt"}}, "got \"Nmt\""},
      {Json::object(), "'type' is missing"},
      {{{"type", "NFC"}, {"form", 1}}, "\"form\""},
      {{{"type", "Prepend"}, {"prepend", ""}}, "'prepend'"},
      {{{"type", "Strip"}, {"strip_left", true}}, "'strip_right'"},
      {{{"type", "Sequence"}, {"normalizers", 3}}, "'normalizers'"},
      {{{"type", "Sequence"}, {"normalizers", Json::array({3})}}, "'normalizers'[0]"},
      {replace({{"Regex", "a*"}}), "empty"},
      {replace({{"String", ""}}), "empty"},
      {replace({{"Glob", "a*"}}), "'pattern'"},
      {replace({{"Regex", "a"}, {"String", "a"}}), "'pattern'"},
      {replace("a"), "'pattern'"},
  };
  for (const auto& [json, part] : cases) {
    const std::string message = message_of([&json = json] { normalizer(json); });
    EXPECT_TRUE(has(message, part)) << json;
    EXPECT_TRUE(has(message, "tokenizer.json")) << json;
  }
}

TEST(PreTokenizer, RefusesByName) {
  const Json metaspace = {{"type", "Metaspace"}, {"replacement", "_"}};
  const auto with = [](Json json, const std::string& key, const Json& value) {
    json[key] = value;
    return json;
  };
  const std::vector<std::pair<Json, std::string>> cases = {
      {{{"type", "BertPreTokenizer"}}, "got \"BertPreTokenizer\""},
      {{{"type", "Split"}, {"pattern", {{"String", " "}}}, {"behavior", "Isolated"}}, "'invert'"},
      {split_by({{"String", " "}}, "none"), "got \"none\""},
      {split_by({{"Regex", "("}}), "parenthesis"},
      {{{"type", "ByteLevel"}, {"add_prefix_space", 1}}, "'add_prefix_space'"},
      {with(metaspace, "replacement", "ab"), "one character"},
      {with(metaspace, "prepend_scheme", "last"), "got \"last\""},
      {with(metaspace, "add_prefix_space", false), "never"},
      {with(metaspace, "color", false), "\"color\""},
      {{{"type", "Digits"}}, "'individual_digits'"},
  };
  for (const auto& [json, part] : cases) {
    const std::string message = message_of([&json = json] { pre_tokenizer(json); });
    EXPECT_TRUE(has(message, part)) << json;
    EXPECT_TRUE(has(message, "tokenizer.json")) << json;
  }
}

}  // namespace
}  // namespace decovec
