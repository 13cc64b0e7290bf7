#include "decovec/data/dataset.hpp"

#include <map>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "decovec/io/lines.hpp"
#include "io/error.hpp"
#include "io/json.hpp"

namespace decovec {
namespace {

// The strings under `key`, each once.
std::vector<std::string> texts(const JsonObject& line, const std::string& key, bool required) {
  const auto mismatch = [&](const std::string& got) {
    fail("{}: '{}': expected {}, got {}", line.where(), key,
         required ? "a list of one or more strings" : "a list of strings", got);
  };
  if (!line.has(key)) {
    if (required) mismatch("none");
    return {};
  }
  const Json& list = line.raw().at(key);
  if (!list.is_array() || (required && list.empty())) mismatch(shown(list));
  std::vector<std::string> result;
  std::unordered_set<std::string_view> seen;
  for (const Json& text : list) {
    if (!text.is_string()) mismatch(fmt::format("{} in it", shown(text)));
    const auto& value = text.get_ref<const std::string&>();
    if (seen.insert(value).second) result.push_back(value);
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

// Texts under a key that is not read would be lost without a word. Keys that mean something else (ids, types,
// scores) are left alone.
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
  Example example{line.string("query"), texts(line, "pos", true), texts(line, "neg", false)};
  const std::unordered_set<std::string_view> positives(example.positives.begin(), example.positives.end());
  for (const std::string& negative : example.negatives) {
    if (positives.contains(negative)) {
      fail("{}: 'neg': expected none of the texts in 'pos', got {}; remove it from one of them", where,
           shown(negative));
    }
  }
  return example;
}

}  // namespace

Dataset Dataset::load(const std::string& name, const std::vector<std::filesystem::path>& files) {
  return at_boundary("Dataset::load", [&] {
    if (files.empty()) reject("Dataset::load: data set '{}': expected one file or more, got none", name);
    Dataset dataset{name, {}};
    for (const std::filesystem::path& file : files) {
      const size_t before = dataset.examples.size();
      for_each_line(file, [&](std::string_view line, int64_t number) {
        dataset.examples.push_back(read_example(line, fmt::format("{}:{}", file.string(), number)));
      });
      if (dataset.examples.size() == before) {
        fail("{}: expected lines of {{\"query\": ..., \"pos\": [...], \"neg\": [...]}}, got an empty file",
             file.string());
      }
    }
    return dataset;
  });
}

}  // namespace decovec
