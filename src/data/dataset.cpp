#include "decovec/data/dataset.hpp"

#include <bit>
#include <cmath>
#include <map>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "decovec/io/lines.hpp"
#include "decovec/world/random.hpp"
#include "io/error.hpp"
#include "io/json.hpp"

namespace decovec {
namespace {

// The scores under `key`, one for each of `texts`, or none at all.
std::vector<double> scores(const JsonObject& line, const std::string& key, const Json& texts) {
  if (!line.has(key)) return {};
  const Json& list = line.raw().at(key);
  const auto mismatch = [&](const Json& got) {
    fail("{}: '{}': expected a list of {} numbers, one for each text, got {}", line.where(), key,
         texts.size(), shown(got));
  };
  if (!list.is_array() || (!list.empty() && list.size() != texts.size())) mismatch(list);
  std::vector<double> result;
  for (const Json& score : list) {
    if (!score.is_number() || !std::isfinite(score.get<double>())) mismatch(score);
    result.push_back(score.get<double>());
  }
  return result;
}

// Texts, each once, with their scores where they have some.
struct ScoredTexts {
  std::vector<std::string> texts;
  std::vector<double> scores;
};

// The strings under `key`.
ScoredTexts scored_texts(const JsonObject& line, const std::string& key, bool required) {
  const auto mismatch = [&](const std::string& got) {
    fail("{}: '{}': expected {}, got {}", line.where(), key,
         required ? "a list of one or more strings" : "a list of strings", got);
  };
  if (required && !line.has(key)) mismatch("none");
  const Json none = Json::array();
  const Json& list = line.has(key) ? line.raw().at(key) : none;
  if (!list.is_array() || (required && list.empty())) mismatch(shown(list));
  const std::vector<double> given = scores(line, key + "_scores", list);
  ScoredTexts result;
  std::unordered_map<std::string_view, size_t> seen;
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_string()) mismatch(fmt::format("{} in it", shown(list[i])));
    const auto& value = list[i].get_ref<const std::string&>();
    const auto [before, is_new] = seen.emplace(value, i);
    if (!is_new && !given.empty() && given[before->second] != given[i])
      fail("{}: '{}_scores': expected one score for one text, got {} and {} for {}", line.where(), key,
           given[before->second], given[i], shown(list[i]));
    if (!is_new) continue;
    result.texts.push_back(value);
    if (!given.empty()) result.scores.push_back(given[i]);
  }
  return result;
}

// Other spellings of the keys, by their letters alone.
const std::map<std::string_view, std::string_view> kSlips = {{"query", "query"},
                                                             {"queries", "query"},
                                                             {"querys", "query"},
                                                             {"pos", "pos"},
                                                             {"poss", "pos"},
                                                             {"positive", "pos"},
                                                             {"positives", "pos"},
                                                             {"positivepassages", "pos"},
                                                             {"neg", "neg"},
                                                             {"negs", "neg"},
                                                             {"negative", "neg"},
                                                             {"negatives", "neg"},
                                                             {"hardneg", "neg"},
                                                             {"hardnegs", "neg"},
                                                             {"hardnegative", "neg"},
                                                             {"hardnegatives", "neg"},
                                                             {"negativepassages", "neg"}};

// Texts under a key that is not read would be lost without a word. Keys that mean something else (ids, types)
// are left alone.
void refuse_slips(const JsonObject& line) {
  for (const auto& [key, value] : line.raw().items()) {
    if (key == "query" || key == "pos" || key == "neg" || value.is_null()) continue;
    std::string letters;
    for (const char byte : key) {
      const char lower = byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
      const bool separates =
          (byte >= '0' && byte <= '9') || std::string_view(" _-.").find(byte) != std::string::npos;
      if (!separates) letters += lower;
    }
    if (const auto slip = kSlips.find(letters); slip != kSlips.end())
      fail(
          "{}: {}: expected one of the keys that are read (query, pos, neg), got a near miss; rename it to "
          "'{}'",
          line.where(), shown(Json(key)), slip->second);
  }
}

Example read_example(std::string_view text, const std::string& where) {
  const JsonObject line(parse_json(text, where), where);
  refuse_slips(line);
  ScoredTexts positive = scored_texts(line, "pos", true), negative = scored_texts(line, "neg", false);
  if (!negative.texts.empty() && positive.scores.empty() != negative.scores.empty())
    fail("{}: '{}_scores': expected scores, since '{}_scores' has some, got none", where,
         positive.scores.empty() ? "pos" : "neg", positive.scores.empty() ? "neg" : "pos");
  const Example example{line.string("query"), std::move(positive.texts), std::move(negative.texts),
                        std::move(positive.scores), std::move(negative.scores)};
  const std::unordered_set<std::string_view> positives(example.positives.begin(), example.positives.end());
  for (const std::string& negative : example.negatives) {
    if (positives.contains(negative)) {
      fail("{}: 'neg': expected none of the texts in 'pos', got {}; remove it from one of them", where,
           shown(negative));
    }
  }
  return example;
}

void check(const std::string& name, size_t index, const Example& example) {
  const auto wrong = [&](std::string_view what, size_t expected, size_t got) {
    reject("Dataset: data set '{}': example {}: {}: expected {}, got {}", name, index, what, expected, got);
  };
  if (example.positives.empty())
    reject("Dataset: data set '{}': example {}: expected a positive, got none", name, index);
  const size_t scores = example.positive_scores.empty() ? 0 : example.positives.size();
  const size_t negative_scores = example.positive_scores.empty() ? 0 : example.negatives.size();
  if (example.positive_scores.size() != scores)
    wrong("positive_scores", scores, example.positive_scores.size());
  if (example.negative_scores.size() != negative_scores)
    wrong("negative_scores", negative_scores, example.negative_scores.size());
}

}  // namespace

Dataset::Dataset(std::string name, std::vector<Example> examples) : name_(std::move(name)) {
  RandomKey key(0);
  for (size_t i = 0; i < examples.size(); ++i) {
    const Example& example = examples[i];
    check(name_, i, example);
    if (!example.negatives.empty()) ++facts_.with_negatives;
    if (example.positive_scores.empty() && facts_.first_unscored < 0)
      facts_.first_unscored = static_cast<int64_t>(i);
    key = key.with(example.query).with(example.positives.size()).with(example.negatives.size());
    for (const std::string& text : example.positives) key = key.with(text);
    for (const std::string& text : example.negatives) key = key.with(text);
    for (const std::vector<double>* scores : {&example.positive_scores, &example.negative_scores})
      for (const double score : *scores) key = key.with(std::bit_cast<uint64_t>(score));
  }
  facts_.content = random_bits(key);
  examples_ = std::make_shared<const std::vector<Example>>(std::move(examples));
}

int64_t Dataset::size() const { return static_cast<int64_t>(examples_->size()); }

const Example& Dataset::at(int64_t index) const {
  if (index < 0 || index >= size())
    reject("Dataset: data set '{}': expected an example below {}, got {}", name_, size(), index);
  return (*examples_)[static_cast<size_t>(index)];
}

ExampleCounts Dataset::counts(int64_t index) const {
  const Example& example = at(index);
  return {static_cast<int64_t>(example.positives.size()), static_cast<int64_t>(example.negatives.size())};
}

Example Dataset::example(int64_t index) const { return at(index); }

Dataset Dataset::load(const std::string& name, const std::vector<std::filesystem::path>& files) {
  return at_boundary("Dataset::load", [&] {
    if (files.empty()) reject("Dataset::load: data set '{}': expected one file or more, got none", name);
    std::vector<Example> examples;
    for (const std::filesystem::path& file : files) {
      const size_t before = examples.size();
      for_each_line(file, [&](std::string_view line, int64_t number) {
        examples.push_back(read_example(line, fmt::format("{}:{}", file.string(), number)));
      });
      if (examples.size() == before) {
        fail("{}: expected lines of {{\"query\": ..., \"pos\": [...], \"neg\": [...]}}, got an empty file",
             file.string());
      }
    }
    return Dataset(name, std::move(examples));
  });
}

}  // namespace decovec
