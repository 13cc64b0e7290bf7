#include "decovec/data/dataset.hpp"

#include <fstream>
#include <gtest/gtest.h>
#include <limits>
#include <set>
#include <unistd.h>

namespace decovec {
namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

class DatasetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string test = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    folder_ = fs::temp_directory_path() / fmt::format("decovec_dataset_{}_{}", test, ::getpid());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, std::string_view bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }

  // The error of loading a good line followed by `line`, without the file's folder.
  std::string error(std::string_view line) const {
    const fs::path file =
        write("bad.jsonl", R"({"query": "q", "pos": ["p"]})" + std::string("\n") + std::string(line) + "\n");
    return error_of({file});
  }

  std::string error_of(const std::vector<fs::path>& files) const {
    try {
      Dataset::load("set", files);
    } catch (const std::runtime_error& error) {
      const std::string text = error.what(), prefix = folder_.string() + "/";
      EXPECT_TRUE(text.starts_with(prefix)) << text;
      return text.substr(prefix.size());
    }
    return "no error";
  }

  fs::path folder_;
};

TEST_F(DatasetTest, ReadsFilesInOrder) {
  const fs::path first = write("first.jsonl",
                               "{\"query\": \"caf\\u00e9\", \"pos\": [\"a\", \"b\"], \"neg\": [\"c\"]}\n"
                               "{\"neg\": null, \"pos\": [\"\"], \"query\": \"\", \"id\": 7}\n");
  const fs::path second =
      write("second.jsonl",
            "{\"query\": \"\xe4\xb8\xad\", \"pos\": [\"d\"], \"neg\": []}\r\n"
            "{\"query\": \"last\", \"pos\": [\"e\", \"e\"], \"neg\": [\"f\", \"g\", \"f\"]}");
  const Dataset set = Dataset::load("set", {first, second});
  EXPECT_EQ(set.name(), "set");
  ASSERT_EQ(set.size(), 4);
  EXPECT_EQ(set.example(0).query, "caf\xc3\xa9");
  EXPECT_EQ(set.example(0).positives, (Texts{"a", "b"}));
  EXPECT_EQ(set.example(0).negatives, (Texts{"c"}));
  EXPECT_EQ(set.example(1).query, "");
  EXPECT_EQ(set.example(1).positives, (Texts{""}));
  EXPECT_TRUE(set.example(1).negatives.empty());
  EXPECT_EQ(set.example(2).query, "\xe4\xb8\xad");
  EXPECT_EQ(set.example(3).positives, (Texts{"e"})) << "a repeated text counts once";
  EXPECT_EQ(set.example(3).negatives, (Texts{"f", "g"}));
}

TEST_F(DatasetTest, ReadsScores) {
  const fs::path file = write(
      "scored.jsonl", R"({"query": "q", "pos": ["a", "b", "a"], "pos_scores": [2, 0.5, 2.0],)"
                      R"( "neg": ["c"], "neg_scores": [-1e3]})"
                      "\n"
                      R"({"query": "q", "pos": ["a"], "pos_scores": [3], "neg_scores": []})"
                      "\n"
                      R"({"query": "q", "pos": ["a"], "pos_scores": null, "neg": ["b"], "neg_scores": []})"
                      "\n");
  const Dataset set = Dataset::load("set", {file});
  EXPECT_EQ(set.example(0).positives, (Texts{"a", "b"}));
  EXPECT_EQ(set.example(0).positive_scores, (std::vector<double>{2, 0.5}));
  EXPECT_EQ(set.example(0).negative_scores, (std::vector<double>{-1000}));
  EXPECT_EQ(set.example(1).positive_scores, (std::vector<double>{3}));
  EXPECT_TRUE(set.example(2).positive_scores.empty() && set.example(2).negative_scores.empty());
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p"], "pos_scores": 1})"),
            "bad.jsonl:2: 'pos_scores': expected a list of 1 numbers, one for each text, got 1");
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p"], "pos_scores": [1, 2]})"),
            "bad.jsonl:2: 'pos_scores': expected a list of 1 numbers, one for each text, got [1,2]");
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p"], "pos_scores": ["1"]})"),
            R"(bad.jsonl:2: 'pos_scores': expected a list of 1 numbers, one for each text, got "1")");
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p"], "neg_scores": [1]})"),
            "bad.jsonl:2: 'neg_scores': expected a list of 0 numbers, one for each text, got [1]");
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p"], "pos_scores": [1], "neg": ["n"]})"),
            "bad.jsonl:2: 'neg_scores': expected scores, since 'pos_scores' has some, got none");
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p"], "neg": ["n"], "neg_scores": [1]})"),
            "bad.jsonl:2: 'pos_scores': expected scores, since 'neg_scores' has some, got none");
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p", "p"], "pos_scores": [1, 2]})"),
            R"(bad.jsonl:2: 'pos_scores': expected one score for one text, got 1 and 2 for "p")");
}

TEST_F(DatasetTest, ErrorsNameFileLineAndField) {
  EXPECT_EQ(error(R"({"query": "q", "pos": "p"})"),
            R"(bad.jsonl:2: 'pos': expected a list of one or more strings, got "p")");
  EXPECT_EQ(error(R"({"query": "q", "pos": []})"),
            "bad.jsonl:2: 'pos': expected a list of one or more strings, got []");
  EXPECT_EQ(error(R"({"query": "q"})"),
            "bad.jsonl:2: 'pos': expected a list of one or more strings, got none");
  EXPECT_EQ(error(R"({"query": "q", "pos": null})"),
            "bad.jsonl:2: 'pos': expected a list of one or more strings, got none");
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p", 3]})"),
            "bad.jsonl:2: 'pos': expected a list of one or more strings, got 3 in it");
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p"], "neg": "n"})"),
            R"(bad.jsonl:2: 'neg': expected a list of strings, got "n")");
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p"], "neg": [["n"]]})"),
            R"(bad.jsonl:2: 'neg': expected a list of strings, got ["n"] in it)");
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p", "r"], "neg": ["n", "r"]})"),
            "bad.jsonl:2: 'neg': expected none of the texts in 'pos', got \"r\"; remove it from one of them");
  EXPECT_TRUE(
      error(R"({"query": ["q"], "pos": ["p"]})").starts_with("bad.jsonl:2: 'query': expected a string"));
  EXPECT_TRUE(error(R"({"pos": ["p"]})").starts_with("bad.jsonl:2: 'query'"));
}

TEST_F(DatasetTest, RefusesKeysThatLookLikeASlip) {
  EXPECT_EQ(error(R"({"query": "q", "pos": ["p"], "negatives": ["n"]})"),
            "bad.jsonl:2: \"negatives\": expected one of the keys that are read (query, pos, neg), got a "
            "near miss; "
            "rename it to 'neg'");
  for (const std::string key :
       {"negs", "Neg", "NEG", "neg ", "negative", "hard_negatives", "neg_1", "negative-2", "positive",
        "positives", "Positives", "POS", "queries", "Query"})
    EXPECT_TRUE(
        error(R"({"query": "q", "pos": ["p"], ")" + key + R"(": ["x"]})").starts_with("bad.jsonl:2: \""))
        << key;
  const fs::path others = write(
      "others.jsonl",
      R"({"query": "q", "pos": ["p"], "id": 1, "_id": "a", "type": "t", "scores": [1],)"
      R"( "query_id": 3, "pos_ids": [1], "post": "x", "negatives": null, "title": "", "prompt": "", "": 0})");
  EXPECT_EQ(Dataset::load("set", {others}).size(), 1);
}

TEST_F(DatasetTest, RefusesLinesThatAreNoJsonObjects) {
  for (const std::string line :
       {"", " ", "[]", "\"text\"", "{", "{\"query\": \"q\", \"pos\": [\"p\"]} {}",
        "{\"query\": \"q\", \"pos\": [\"p\"], \"pos\": [\"r\"]}", "{\"query\": \"\xff\", \"pos\": [\"p\"]}",
        "{\"query\": \"\\ud800\", \"pos\": [\"p\"]}"}) {
    EXPECT_TRUE(error(line).starts_with("bad.jsonl:2: ")) << line << " gave " << error(line);
  }
  const std::string deep(100000, '[');
  EXPECT_TRUE(error("{\"query\": \"q\", \"pos\": " + deep).starts_with("bad.jsonl:2: "));
}

TEST_F(DatasetTest, RefusesMissingAndEmptyFiles) {
  const fs::path good = write("good.jsonl", R"({"query": "q", "pos": ["p"]})");
  const fs::path empty = write("empty.jsonl", "");
  EXPECT_TRUE(error_of({good, empty}).starts_with("empty.jsonl: expected lines of {\"query\""));
  EXPECT_TRUE(error_of({good, folder_ / "absent.jsonl"}).starts_with("absent.jsonl: "));
  EXPECT_THROW(Dataset::load("set", {}), std::invalid_argument);
}

TEST(Dataset, KnowsItsExamplesWithoutReadingThem) {
  const Dataset set("set",
                    {{"a", {"b", "c"}, {}, {1, 2}, {}}, {"d", {"e"}, {"f", "g", "h"}}, {"i", {"j"}, {}}});
  EXPECT_EQ(set.size(), 3);
  EXPECT_EQ(set.counts(0).positives, 2);
  EXPECT_EQ(set.counts(0).negatives, 0);
  EXPECT_EQ(set.counts(1).negatives, 3);
  EXPECT_EQ(set.facts().with_negatives, 1);
  EXPECT_EQ(set.facts().first_unscored, 1);
  EXPECT_EQ(Dataset("set", {{"a", {"b"}, {}, {1}, {}}}).facts().first_unscored, -1);
  for (const int64_t index : {int64_t{-1}, int64_t{3}, std::numeric_limits<int64_t>::max()}) {
    EXPECT_THROW(set.example(index), std::invalid_argument) << index;
    EXPECT_THROW(set.counts(index), std::invalid_argument) << index;
  }
}

TEST(Dataset, TellsContentsApart) {
  const std::vector<std::vector<Example>> sets = {{},
                                                  {{"a", {"b"}, {"c"}}},
                                                  {{"a", {"b", "c"}, {}}},
                                                  {{"ab", {""}, {"c"}}},
                                                  {{"a", {"b"}, {"c"}, {1}, {2}}},
                                                  {{"a", {"b"}, {"c"}, {2}, {1}}},
                                                  {{"a", {"b"}, {"c"}}, {"a", {"b"}, {"c"}}},
                                                  {{"a", {"b"}, {"c"}}, {"d", {"b"}, {"c"}}},
                                                  {{"d", {"b"}, {"c"}}, {"a", {"b"}, {"c"}}}};
  std::set<uint64_t> contents;
  for (const std::vector<Example>& examples : sets) {
    contents.insert(Dataset("set", examples).facts().content);
    EXPECT_EQ(Dataset("other", examples).facts().content, Dataset("set", examples).facts().content);
  }
  EXPECT_EQ(contents.size(), sets.size());
}

TEST(Dataset, RefusesExamplesThatCannotBeTrained) {
  const std::vector<Example> wrong = {{"q", {}, {"n"}},
                                      {"q", {"p"}, {}, {1, 2}, {}},
                                      {"q", {"p"}, {"n"}, {1}, {}},
                                      {"q", {"p"}, {"n"}, {}, {1}}};
  for (const Example& example : wrong)
    EXPECT_THROW(Dataset("set", {{"q", {"p"}, {}}, example}), std::invalid_argument);
}

}  // namespace
}  // namespace decovec
