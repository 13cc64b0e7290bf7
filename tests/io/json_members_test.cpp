#include "io/json_members.hpp"

#include <gtest/gtest.h>

#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

TEST(JsonMembers, AreWhereTheirValuesStand) {
  const std::string text = " {\"a\" : [1, {\"}\": \"]\\\"\"}] ,\n\"b\\u0063\":\"x,y\\\\\", \"n\": -1.5 } \n";
  const auto members = json_members(text, "t.json");
  ASSERT_EQ(members.size(), 3u);
  EXPECT_EQ(members.at("a"), "[1, {\"}\": \"]\\\"\"}]");
  EXPECT_EQ(members.at("bc"), "\"x,y\\\\\"");
  EXPECT_EQ(members.at("n"), "-1.5");
  EXPECT_EQ(members.at("n").data(), text.data() + text.find("-1.5"));
  EXPECT_TRUE(json_members("{}", "").empty());
}

TEST(JsonMembers, RefusesWhatIsNoObject) {
  for (const char* text :
       {"", "[]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{1:1}",
        "{\"a\":1} x", "{\"a\" 1}", "{,}", "{\"a\":\"\\", "{\"a\":[}", "7", "{\"a\\\":1}"})
    EXPECT_TRUE(has(message_of([&] { json_members(text, "t.json"); }), "t.json: ")) << text;
  EXPECT_TRUE(has(message_of([] { json_members(R"({"a":1,"a":2})", "t.json"); }), "appears twice"));
}

}  // namespace
}  // namespace decovec
