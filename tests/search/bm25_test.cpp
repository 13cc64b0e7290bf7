#include "decovec/search/bm25.hpp"

#include <gtest/gtest.h>

#include "io/json.hpp"
#include "io/temporary_folder.hpp"

namespace decovec {
namespace {

Json reference() { return read_json(test_data() / "search" / "bm25.json"); }

TEST(Words, AgreeWithTheReference) {
  const Json data = reference();
  for (const Json& pair : data["words"])
    EXPECT_EQ(words(pair[0].get<std::string>()), pair[1].get<std::vector<std::string>>()) << pair[0];
}

TEST(Bm25, AgreesWithTheReference) {
  const Json data = reference();
  const auto documents = data["documents"].get<std::vector<std::string>>();
  int64_t compared = 0;
  for (const Json& item : data["cases"]) {
    const Bm25 index(documents, {.k1 = item["k1"], .b = item["b"]});
    const auto expected = item["ranking"].get<std::vector<std::pair<int64_t, double>>>();
    const auto found = index.top(item["query"].get<std::string>(), 1000);
    ASSERT_EQ(found.size(), expected.size()) << item["query"];
    for (size_t i = 0; i < found.size(); ++i, ++compared) {
      EXPECT_EQ(found[i].first, expected[i].first) << item["query"] << " rank " << i;
      EXPECT_NEAR(found[i].second, expected[i].second, 2e-6) << item["query"] << " rank " << i;
    }
  }
  EXPECT_GE(compared, 500);
}

TEST(Bm25, TopIsTheBeginningOfTheWholeRanking) {
  const Json data = reference();
  const Bm25 index(data["documents"].get<std::vector<std::string>>());
  const std::string query = "word1 word2 cats";
  const auto all = index.top(query, 1000);
  ASSERT_GT(all.size(), 5u);
  for (const int64_t k : {int64_t{1}, int64_t{3}, static_cast<int64_t>(all.size()) + 1}) {
    const auto some = index.top(query, k);
    ASSERT_EQ(static_cast<int64_t>(some.size()), std::min(k, static_cast<int64_t>(all.size())));
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin()));
  }
}

TEST(Bm25, ServesEmptyCorporaAndRefusesBadOptions) {
  EXPECT_TRUE(Bm25({}).top("cat", 5).empty());
  EXPECT_TRUE(Bm25({"", "the"}).top("the cat", 5).empty());
  EXPECT_THROW(Bm25({"cat"}).top("cat", 0), std::invalid_argument);
  EXPECT_THROW(Bm25({"cat"}, {.k1 = -1}), std::invalid_argument);
  EXPECT_THROW(Bm25({"cat"}, {.k1 = std::nan("")}), std::invalid_argument);
  EXPECT_THROW(Bm25({"cat"}, {.b = 1.5}), std::invalid_argument);
}

}  // namespace
}  // namespace decovec
