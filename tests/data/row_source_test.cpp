#include "data/row_source.hpp"

#include <gtest/gtest.h>
#include <map>
#include <set>

namespace decovec {
namespace {

Dataset make_set(int64_t examples, int64_t positives, int64_t negatives) {
  const auto texts = [](const char* name, int64_t count) {
    std::vector<std::string> result;
    for (int64_t i = 0; i < count; ++i) result.push_back(fmt::format("{} {}", name, i));
    return result;
  };
  std::vector<Example> all;
  for (int64_t i = 0; i < examples; ++i)
    all.push_back({.query = fmt::format("query {}", i),
                   .positives = texts("positive", positives),
                   .negatives = texts("negative", negatives)});
  return Dataset("set", std::move(all));
}

Dataset labelled(const std::vector<std::pair<std::string, std::string>>& texts) {
  std::vector<Example> examples;
  for (const auto& [text, label] : texts)
    examples.push_back({.query = text, .positives = {label}, .negatives = {}});
  return Dataset("topics", std::move(examples));
}

Dataset pairs(const std::vector<std::tuple<std::string, std::string, double>>& scored) {
  std::vector<Example> examples;
  for (const auto& [a, b, score] : scored)
    examples.push_back({.query = a, .positives = {b}, .negatives = {}, .positive_scores = {score}});
  return Dataset("pairs", std::move(examples));
}

std::vector<std::string> texts_of(const DrawnRow& row, Role role) {
  std::vector<std::string> texts;
  for (const DrawnDocument& document : row.documents)
    if (document.role == role) texts.push_back(document.text);
  return texts;
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "no error";
}

// ---- retrieval

TEST(RetrievalRows, NegativesAreDistinctAndAllAreReached) {
  const RowSource source = retrieval_rows(make_set(1, 1, 10), 3);
  EXPECT_TRUE(source.has_negatives && source.has_positives);
  std::map<std::string, double> counts;
  for (uint64_t trial = 0; trial < 5000; ++trial) {
    const std::vector<std::string> negatives = texts_of(source.draw(0, RandomKey(trial)), Role::negative);
    EXPECT_EQ(std::set(negatives.begin(), negatives.end()).size(), 3u);
    for (const std::string& negative : negatives) ++counts[negative];
  }
  EXPECT_EQ(counts.size(), 10u);
  for (const auto& [text, count] : counts) EXPECT_NEAR(count, 1500, 4 * std::sqrt(5000 * 0.3 * 0.7)) << text;
}

TEST(RetrievalRows, TakeFewerNegativesWhereFewerExist) {
  const DrawnRow row = retrieval_rows(make_set(5, 1, 2), 7).draw(3, RandomKey(1));
  EXPECT_EQ(row.example, 3);
  EXPECT_EQ(row.query, "query 3");
  const std::vector<std::string> negatives = texts_of(row, Role::negative);
  EXPECT_EQ(std::set(negatives.begin(), negatives.end()),
            (std::set<std::string>{"negative 0", "negative 1"}));
  EXPECT_FALSE(retrieval_rows(make_set(5, 1, 0), 7).has_negatives);
  EXPECT_FALSE(retrieval_rows(make_set(5, 1, 2), 0).has_negatives);
}

TEST(RetrievalRows, PositivesAreDrawnEvenlyAndAllAreAnswers) {
  const RowSource source = retrieval_rows(make_set(4, 3, 0), 7);
  std::map<std::string, double> counts;
  for (uint64_t trial = 0; trial < 3000; ++trial) {
    const DrawnRow row = source.draw(static_cast<int64_t>(trial % 4), RandomKey(trial));
    ASSERT_EQ(row.documents.size(), 1u);
    ++counts[row.documents[0].text];
    EXPECT_EQ(row.answers, (std::vector<std::string>{"positive 0", "positive 1", "positive 2"}));
  }
  for (const auto& [text, count] : counts) EXPECT_NEAR(count, 1000, 4 * std::sqrt(3000 * 2 / 9.0)) << text;
}

TEST(RetrievalRows, ScoresGoWithTheirTexts) {
  const Dataset taught("taught",
                       {{"whale", {"mammal", "swimmer"}, {"fish", "boat"}, {0.9, 0.8}, {0.3, 0.1}}});
  const std::map<std::string, double> scores = {
      {"mammal", 0.9}, {"swimmer", 0.8}, {"fish", 0.3}, {"boat", 0.1}};
  const RowSource source = retrieval_rows(taught, 2);
  EXPECT_EQ(source.first_unscored, -1);
  for (uint64_t trial = 0; trial < 20; ++trial)
    for (const DrawnDocument& document : source.draw(0, RandomKey(trial)).documents)
      EXPECT_EQ(document.score, scores.at(document.text));
}

// ---- classification and clustering

// Nine texts: 2 of sea, 3 of sky, 4 of land.
const std::vector<std::pair<std::string, std::string>> nine = {
    {"whale", "sea"}, {"bird", "sky"}, {"oak", "land"},  {"cloud", "sky"}, {"dog", "land"},
    {"ship", "sea"},  {"cat", "land"}, {"plane", "sky"}, {"house", "land"}};

TEST(LabelledRows, ThePositiveIsAnotherTextOfTheLabelAndNegativesAreOfOthers) {
  const std::map<std::string, std::string> label(nine.begin(), nine.end());
  const RowSource source = labelled_rows(labelled(nine), 3);
  EXPECT_EQ(source.size, 9);
  EXPECT_TRUE(source.has_negatives && source.has_positives);
  std::set<std::string> queries;
  for (int64_t i = 0; i < source.size; ++i) {
    std::map<std::string, double> positives, negatives;
    const double trials = 2000;
    DrawnRow row;
    for (uint64_t trial = 0; trial < 2000; ++trial) {
      row = source.draw(i, RandomKey(trial).with(static_cast<uint64_t>(i)));
      ASSERT_EQ(row.documents.size(), 4u);
      ASSERT_EQ(row.documents[0].role, Role::positive);
      ++positives[row.documents[0].text];
      std::set<std::string> distinct;
      for (const std::string& negative : texts_of(row, Role::curated)) distinct.insert(negative);
      ASSERT_EQ(distinct.size(), 3u);
      for (const std::string& negative : distinct) ++negatives[negative];
    }
    const std::string own = label.at(row.query);
    EXPECT_EQ(row.query, nine[static_cast<size_t>(row.example)].first);
    queries.insert(row.query);
    double of_label = 0, others = 0;
    for (const auto& [text, other] : nine) (other == own ? of_label : others) += 1;
    EXPECT_EQ(static_cast<double>(positives.size()), of_label - 1);
    EXPECT_EQ(static_cast<double>(negatives.size()), others);
    for (const auto& [text, count] : positives) {
      EXPECT_TRUE(label.at(text) == own && text != row.query) << text;
      const double share = 1 / (of_label - 1);
      EXPECT_NEAR(count, trials * share, 4.5 * std::sqrt(trials * share * (1 - share)) + 1e-9) << text;
    }
    for (const auto& [text, count] : negatives) {
      EXPECT_NE(label.at(text), own);
      const double share = 3 / others;
      EXPECT_NEAR(count, trials * share, 4.5 * std::sqrt(trials * share * (1 - share))) << text;
    }
  }
  EXPECT_EQ(queries.size(), 9u);
}

TEST(LabelledRows, TextsOfALabelAnswerEachOther) {
  const RowSource source = labelled_rows(labelled(nine), 9);
  const std::map<std::string, std::string> label(nine.begin(), nine.end());
  std::map<std::string, uint64_t> id;
  for (int64_t i = 0; i < source.size; ++i) {
    const DrawnRow row = source.draw(i, RandomKey(1));
    ASSERT_EQ(row.answer_ids.size(), 1u);
    const auto [known, is_new] = id.emplace(label.at(row.query), row.answer_ids[0]);
    EXPECT_EQ(known->second, row.answer_ids[0]);
  }
  EXPECT_EQ(id.size(), 3u);
  for (int64_t i = 0; i < source.size; ++i) {
    const DrawnRow row = source.draw(i, RandomKey(1));
    for (const DrawnDocument& document : row.documents)
      EXPECT_EQ(document.id, id.at(label.at(document.text)));
    // All texts outside of the label, where so many are wanted.
    const std::string own = label.at(row.query);
    const auto others = std::ranges::count_if(nine, [&](const auto& text) { return text.second != own; });
    EXPECT_EQ(static_cast<std::ptrdiff_t>(texts_of(row, Role::curated).size()), others);
  }
  std::vector<Example> examples;
  for (const auto& [text, name] : nine)
    examples.push_back({.query = text, .positives = {name}, .negatives = {}});
  const RowSource elsewhere = labelled_rows(Dataset("other topics", examples), 1);
  EXPECT_NE(elsewhere.draw(0, RandomKey(1)).answer_ids, source.draw(0, RandomKey(1)).answer_ids);
}

TEST(LabelledRows, ATextThatIsThereTwiceCountsOnce) {
  auto texts = nine;
  texts.emplace_back("whale", "sea");
  texts.insert(texts.begin(), {"dog", "land"});
  const RowSource source = labelled_rows(labelled(texts), 2);
  EXPECT_EQ(source.size, 9);
  std::set<int64_t> examples;
  for (int64_t i = 0; i < source.size; ++i) {
    const DrawnRow row = source.draw(i, RandomKey(1));
    examples.insert(row.example);
    EXPECT_NE(row.query, row.documents[0].text);
  }
  EXPECT_EQ(examples, (std::set<int64_t>{0, 1, 2, 3, 4, 6, 7, 8, 9}));
}

TEST(LabelledRows, RefuseWhatHasNoPositiveOrNoNegative) {
  const auto error = [](const Dataset& dataset) { return error_of([&] { labelled_rows(dataset, 2); }); };
  auto texts = nine;
  texts.emplace_back("star", "space");
  EXPECT_EQ(
      error(labelled(texts)),
      "data set 'topics': expected two different texts or more of each label, since a text's positive is "
      "another one of its label, got one of 1 of 4 labels, \"space\" among them; add texts or remove these");
  texts.emplace_back("star", "space");  // no other text
  texts.emplace_back("ray", "light");
  EXPECT_NE(error(labelled(texts)).find("got one of 2 of 5 labels"), std::string::npos)
      << error(labelled(texts));
  EXPECT_EQ(error(labelled({{"a", "x"}, {"b", "x"}, {"c", "x"}})),
            "data set 'topics': expected texts of two labels or more, got 3 texts of 1 label");
  EXPECT_EQ(error(labelled({})),
            "data set 'topics': expected texts of two labels or more, got 0 texts of 0 labels");
}

TEST(LabelledRows, CountWrongExamplesAndNameTheFirst) {
  const auto error = [](const Dataset& dataset) { return error_of([&] { labelled_rows(dataset, 2); }); };
  auto texts = nine;
  texts[3].second = texts[7].second = "";
  EXPECT_EQ(error(labelled(texts)),
            "data set 'topics': expected a label for each text, got otherwise in 2 of 9 examples, first in "
            "example 4: text \"cloud\" with \"\"");
  texts = nine;
  texts.emplace_back("oak", "sky");
  texts.emplace_back("oak", "sea");
  EXPECT_EQ(
      error(labelled(texts)),
      "data set 'topics': expected one label for each text, got otherwise in 2 of 11 examples, first in "
      "example 10: text \"oak\" has \"sky\", and \"land\" in example 3");
  std::vector<Example> examples;
  for (const auto& [text, label] : nine)
    examples.push_back({.query = text, .positives = {label}, .negatives = {}});
  examples[1].positives.push_back("air");
  EXPECT_EQ(error(Dataset("topics", examples)),
            "data set 'topics': expected one label for each text, got otherwise in 1 of 9 examples, first in "
            "example 2: 2 labels");
  examples[1].positives.pop_back();
  examples[8].negatives = {"sky"};
  EXPECT_EQ(error(Dataset("topics", examples)),
            "data set 'topics': expected texts with labels, whose negatives are texts of other labels, got "
            "otherwise in 1 of 9 examples, first in example 9: 1 negative");
}

// ---- pairs with scores

TEST(PairRows, ReachingTheThresholdAreRightAnswersInBothDirections) {
  const RowSource source = pair_rows(
      pairs({{"a", "b", 4.5}, {"c", "d", 3.9}, {"b", "e", 4.0}, {"f", "a", 0}, {"e", "e", 5}}), 4.0);
  EXPECT_EQ(source.size, 6);
  EXPECT_TRUE(source.has_positives);
  EXPECT_FALSE(source.has_negatives);
  EXPECT_EQ(source.first_unscored, -1);
  std::vector<std::tuple<int64_t, std::string, std::string, double>> rows;
  std::map<std::string, uint64_t> id;
  for (int64_t i = 0; i < source.size; ++i) {
    const DrawnRow row = source.draw(i, RandomKey(1));
    ASSERT_EQ(row.documents.size(), 1u);
    EXPECT_EQ(row.documents[0].role, Role::positive);
    rows.emplace_back(row.example, row.query, row.documents[0].text, row.documents[0].score);
    id[row.documents[0].text] = row.documents[0].id;
  }
  EXPECT_EQ(rows, (decltype(rows){{0, "a", "b", 4.5},
                                  {0, "b", "a", 4.5},
                                  {2, "b", "e", 4.0},
                                  {2, "e", "b", 4.0},
                                  {4, "e", "e", 5},
                                  {4, "e", "e", 5}}));
  EXPECT_EQ(id.size(), 3u);
  const auto answers = [&](int64_t row) {
    const DrawnRow drawn = source.draw(row, RandomKey(1));
    return std::set(drawn.answer_ids.begin(), drawn.answer_ids.end());
  };
  EXPECT_EQ(answers(0), (std::set{id.at("a"), id.at("b")}));
  EXPECT_EQ(answers(1), (std::set{id.at("a"), id.at("b"), id.at("e")})) << "both of its pairs";
  EXPECT_EQ(answers(2), answers(1));
}

TEST(PairRows, WithoutAThresholdKeepEveryPairWithItsScore) {
  const RowSource source = pair_rows(pairs({{"a", "b", 4.5}, {"c", "d", 0}}), {});
  EXPECT_EQ(source.size, 2);
  EXPECT_FALSE(source.has_positives || source.has_negatives);
  EXPECT_EQ(source.first_unscored, -1);
  const DrawnRow row = source.draw(1, RandomKey(1));
  EXPECT_EQ(row.query, "c");
  ASSERT_EQ(row.documents.size(), 1u);
  EXPECT_EQ(row.documents[0].text, "d");
  EXPECT_EQ(row.documents[0].role, Role::scored);
  EXPECT_EQ(row.documents[0].score, 0);
  EXPECT_TRUE(row.answers.empty() && row.answer_ids.empty());
}

TEST(PairRows, RefuseWhatIsNoPairWithAScore) {
  EXPECT_EQ(error_of([] {
              pair_rows(pairs({{"a", "b", 3}, {"a", "c", 1}}), 4.0);
            }),
            "data set 'pairs': expected pairs with a score of the threshold 4 or more, got none of 2");
  for (const std::optional<double> threshold : {std::optional<double>(), std::optional(4.0)}) {
    EXPECT_EQ(error_of([&] { pair_rows(make_set(3, 2, 1), threshold); }),
              "data set 'set': expected two texts and their score in each example, got otherwise in 3 of 3 "
              "examples, first in example 1: 2 positives, 1 negative and 0 scores");
  }
}

}  // namespace
}  // namespace decovec
