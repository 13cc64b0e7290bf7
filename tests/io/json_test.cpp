#include "io/json.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <limits>

#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

std::string refusal(std::string_view text) {
  return message_of([&] { parse_json(text, "x.json"); });
}

std::string repeated(std::string_view part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

TEST(ParseJson, ReadsEveryKindOfValue) {
  const Json json = parse_json(
      R"( {"a": [1, -2, 0.5, 1e3, true, false, null, {}, []], "b": {"c": "\u00e9\n\ud83d\ude00é", "": "x"},
           "big": 18446744073709551615, "low": -9223372036854775808} )",
      "x.json");
  EXPECT_EQ(json["a"], Json({1, -2, 0.5, 1000.0, true, false, nullptr, Json::object(), Json::array()}));
  EXPECT_EQ(json["b"]["c"], "\u00e9\n\U0001f600é");
  EXPECT_EQ(json["b"][""], "x");
  EXPECT_EQ(json["big"].get<uint64_t>(), 18446744073709551615u);
  EXPECT_EQ(json["low"].get<int64_t>(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(json.size(), 4u);
}

TEST(ParseJson, ReadsBareValues) {
  EXPECT_EQ(parse_json("3", "x"), 3);
  EXPECT_EQ(parse_json("\"a\"", "x"), "a");
  EXPECT_EQ(parse_json("null", "x"), nullptr);
}

TEST(ParseJson, NamesThePlaceOfBadSyntax) {
  EXPECT_TRUE(has(refusal("{\n \"a\": 1,\n}"), "x.json: parse error at line 3, column 1: "));
  for (const char* text :
       {"",      " ",   "{",       "[1,]",       "[1 2]",       "{\"a\" 1}", "{'a': 1}", "{a: 1}",
        "[1] x", "nul", "NaN",     "[Infinity]", "[-Infinity]", "01",        "1.",       ".5",
        "+1",    "\"a", "\"\\x\"", "\"\n\"",     "\"\\ud800\"", "// c\n1",   "1e999"})
    EXPECT_TRUE(refusal(text).starts_with("x.json: ")) << text;
}

TEST(ParseJson, RefusesNulBytes) {
  for (const std::string_view text : {std::string_view("1\0", 2), {"{}\0{", 4}, {"\0", 1}, {"\"\0\"", 3}})
    EXPECT_TRUE(has(refusal(text), "x.json: parse error at byte "));
  EXPECT_EQ(parse_json("\"\\u0000\"", "x"), std::string(1, '\0'));
}

TEST(ParseJson, RefusesTextThatIsNotUtf8) {
  for (const char* text :
       {"\"\xe9\"", "\"\xed\xa0\x80\"", "\"\xc0\xaf\"", "\"\xf4\x90\x80\x80\"", "{\"\xff\": 1}"})
    EXPECT_TRUE(has(refusal(text), "UTF-8")) << text;
}

TEST(ParseJson, RefusesDuplicateKeysAtAnyLevel) {
  EXPECT_TRUE(has(refusal(R"({"a": 1, "b": 2, "a": 1})"), R"(x.json: the key "a" appears twice)"));
  EXPECT_TRUE(has(refusal(R"([{"x": [{"a": {}, "\u0061": {}}]}])"), R"(the key "a" appears twice)"));
  EXPECT_EQ(parse_json(R"([{"a": 1}, {"a": {"a": 2}}])", "x").size(), 2u);
}

TEST(ParseJson, RefusesDeepNesting) {
  EXPECT_NO_THROW(parse_json(repeated("[", 64) + repeated("]", 64), "x"));
  EXPECT_TRUE(has(refusal(repeated("[", 65) + repeated("]", 65)), "x.json: nested deeper than 64 levels"));
  EXPECT_TRUE(
      has(refusal(repeated("{\"a\":", 65) + "1" + repeated("}", 65)), "nested deeper than 64 levels"));
  EXPECT_TRUE(has(refusal(repeated("[", 10'000'000)), "nested deeper than 64 levels"));
}

TEST(ParseJson, KeepsItsMessageOnOneShortLine) {
  const std::string message = refusal("\"" + std::string(100'000, 'x') + "\n\xff\"");
  EXPECT_LT(message.size(), 400u);
  for (const char byte : message) EXPECT_TRUE(byte >= ' ' && byte <= '~');
}

TEST(ReadJson, NamesTheFile) {
  const TemporaryFolder folder;
  put(folder / "bad.json", "{\"a\": }");
  EXPECT_TRUE(has(message_of([&] { read_json(folder / "bad.json"); }), "bad.json: parse error at column"));
  EXPECT_TRUE(has(message_of([&] { read_json(folder / "none.json"); }), "none.json: cannot open"));
}

TEST(WriteJson, KeepsTheOrderOfKeys) {
  const TemporaryFolder folder;
  write_json(folder / "x.json", {{"z", 1}, {"a", {{"y", 0.1}, {"b", "é"}}}});
  EXPECT_EQ(bytes_of(folder / "x.json"),
            "{\n  \"z\": 1,\n  \"a\": {\n    \"y\": 0.1,\n    \"b\": \"é\"\n  }\n}\n");
}

TEST(WriteJson, RefusesTextThatIsNotUtf8) {
  const TemporaryFolder folder;
  EXPECT_TRUE(has(message_of([&] {
                    write_json(folder / "x.json", {{"a", "\xff"}});
                  }),
                  "x.json: cannot write"));
  EXPECT_TRUE(folder.names().empty());
}

JsonObject object(std::string_view text) { return {parse_json(text, "c.json"), "c.json"}; }

TEST(JsonObject, IsAnObject) {
  EXPECT_TRUE(has(message_of([] { object("[1]"); }), "c.json: expected a JSON object, got [1]"));
}

TEST(JsonObject, TakesNullAsAbsent) {
  const JsonObject json = object(R"({"a": null, "b": 0})");
  EXPECT_FALSE(json.has("a"));
  EXPECT_TRUE(json.has("b"));
  EXPECT_FALSE(json.has("c"));
  EXPECT_EQ(json.string("a", "fallback"), "fallback");
  EXPECT_TRUE(json.boolean("a", true));
  EXPECT_EQ(json.number("c", 0.5), 0.5);
  EXPECT_EQ(json.integer_or("a", -1), -1);
  for (const char* key : {"a", "c"}) {
    EXPECT_TRUE(has(message_of([&] { json.string(key); }), "is missing, expected a string"));
    EXPECT_TRUE(has(message_of([&] { json.number(key); }), "is missing, expected a number"));
    EXPECT_TRUE(has(message_of([&] { json.integer(key); }), "is missing, expected an integer"));
    EXPECT_TRUE(has(message_of([&] { json.object(key); }), "is missing, expected an object"));
  }
}

TEST(JsonObject, ReturnsTypedValues) {
  const JsonObject json = object(R"({"s": "x", "b": false, "n": 2.5, "i": 7, "o": {"k": "v"}})");
  EXPECT_EQ(json.string("s"), "x");
  EXPECT_EQ(json.string("s", "y"), "x");
  EXPECT_FALSE(json.boolean("b", true));
  EXPECT_EQ(json.number("n"), 2.5);
  EXPECT_EQ(json.number("i", 1.0), 7.0);
  EXPECT_EQ(json.integer("i"), 7);
  EXPECT_EQ(json.object("o").string("k"), "v");
}

TEST(JsonObject, NamesKeyAndExpectation) {
  const JsonObject json = object(R"({"a": [1], "s": "big", "o": {"k": 1}})");
  EXPECT_EQ(message_of([&] { json.string("a"); }), "c.json: 'a': expected a string, got [1]");
  EXPECT_EQ(message_of([&] { json.boolean("s", true); }), "c.json: 's': expected true or false, got \"big\"");
  EXPECT_EQ(message_of([&] { json.number("s", 1.0); }), "c.json: 's': expected a number, got \"big\"");
  EXPECT_EQ(message_of([&] { json.integer("s", 1, 9); }),
            "c.json: 's': expected an integer from 1 to 9, got \"big\"");
  EXPECT_EQ(message_of([&] { json.object("a"); }), "c.json: 'a': expected an object, got [1]");
  EXPECT_EQ(message_of([&] { json.object("o").string("k"); }), "c.json: 'o': 'k': expected a string, got 1");
}

TEST(JsonObject, KeepsIntegersInTheirBounds) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min(), kMax = std::numeric_limits<int64_t>::max();
  const auto integer = [](std::string_view text, int64_t minimum, int64_t maximum) {
    return object(fmt::format("{{\"i\": {}}}", text)).integer("i", minimum, maximum);
  };
  EXPECT_EQ(integer("4096.0", 0, 5000), 4096);
  EXPECT_EQ(integer("1e6", 0, 1'000'000), 1'000'000);
  EXPECT_EQ(integer("9223372036854775807", kMin, kMax), kMax);
  EXPECT_EQ(integer("-9223372036854775808", kMin, kMax), kMin);
  for (const char* text :
       {"0", "11", "-1", "2.5", "1e300", "-1e300", "18446744073709551615", "1e19", "true", "\"5\""})
    EXPECT_TRUE(has(message_of([&] { integer(text, 1, 10); }), "expected an integer from 1 to 10, got "))
        << text;
  for (const char* text : {"9223372036854775808", "1e19", "18446744073709551617"})
    EXPECT_TRUE(has(message_of([&] { integer(text, kMin, kMax); }), "expected an integer")) << text;
}

TEST(Shown, CutsBetweenCharacters) {
  EXPECT_EQ(shown(Json{{"a", 1}}), R"({"a":1})");
  for (int start = 0; start < 4; ++start) {
    const std::string text = shown(std::string(static_cast<size_t>(start), 'a') + repeated("€", 40));
    EXPECT_LE(text.size(), 60u);
    EXPECT_GE(text.size(), 55u);
    EXPECT_TRUE(text.ends_with("€...")) << text;
  }
  EXPECT_EQ(shown("\xff\n"), "\"\uFFFD\\n\"");
}

}  // namespace
}  // namespace decovec
