#include "decovec/search/bm25.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "io/error.hpp"

namespace decovec {
namespace {

bool is_word_byte(unsigned char byte) {
  return byte > 127 || (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
         (byte >= 'A' && byte <= 'Z');
}

bool is_stop_word(const std::string& word) {
  static const std::unordered_set<std::string> stop_words = {
      "a",   "an",    "and",  "are",   "as",    "at",   "be",   "but", "by",  "for",  "if",
      "in",  "into",  "is",   "it",    "no",    "not",  "of",   "on",  "or",  "such", "that",
      "the", "their", "then", "there", "these", "they", "this", "to",  "was", "will", "with"};
  return stop_words.contains(word);
}

// Each rule has its exceptions; the first one that applies is the last.
void cut_plural(std::string& word) {
  if (word.size() <= 3) return;
  const auto ends = [&](std::string_view end) { return word.ends_with(end); };
  if (ends("ies") && !ends("eies") && !ends("aies")) {
    word.replace(word.size() - 3, 3, "y");
  } else if (ends("es") && !ends("aes") && !ends("ees") && !ends("oes")) {
    word.pop_back();
  } else if (ends("s") && !ends("us") && !ends("ss")) {
    word.pop_back();
  }
}

}  // namespace

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> result;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty() && !is_stop_word(word)) {
      cut_plural(word);
      result.push_back(word);
    }
    word.clear();
  };
  for (const char c : text) {
    if (is_word_byte(static_cast<unsigned char>(c))) {
      word.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
    } else {
      end_word();
    }
  }
  end_word();
  return result;
}

Bm25::Bm25(const std::vector<std::string>& documents, const Bm25Options& options)
    : documents_(static_cast<int64_t>(documents.size())) {
  if (!(options.k1 >= 0) || !std::isfinite(options.k1))
    reject("Bm25: k1: expected a number of 0 or more, got {}", options.k1);
  if (!(options.b >= 0 && options.b <= 1)) reject("Bm25: b: expected 0 to 1, got {}", options.b);
  if (documents_ > std::numeric_limits<int32_t>::max())
    reject("Bm25: documents: expected at most {}, got {}", std::numeric_limits<int32_t>::max(), documents_);

  // First the counts, then the weights: a weight needs the mean length and the word's document count.
  std::vector<int64_t> lengths(documents.size());
  double total_length = 0;
  for (size_t i = 0; i < documents.size(); ++i) {
    const auto index = static_cast<int32_t>(i);
    for (const std::string& word : words(documents[i])) {
      std::vector<Posting>& list = postings_[word];
      if (list.empty() || list.back().document != index) list.push_back({index, 0});
      list.back().weight += 1;
      ++lengths[i];
    }
    total_length += static_cast<double>(lengths[i]);
  }
  const auto count = static_cast<double>(documents.size());
  for (auto& [word, list] : postings_) {
    const auto containing = static_cast<double>(list.size());
    const double idf = std::log1p((count - containing + 0.5) / (containing + 0.5));
    for (Posting& posting : list) {
      const double frequency = posting.weight;
      const double relative_length =
          static_cast<double>(lengths[static_cast<size_t>(posting.document)]) * count / total_length;
      const double saturation = options.k1 * (1 - options.b + options.b * relative_length);
      posting.weight = static_cast<float>(idf * frequency / (frequency + saturation));
    }
  }
}

std::vector<std::pair<int64_t, float>> Bm25::top(std::string_view query, int64_t k) const {
  if (k < 1) reject("Bm25::top: k: expected 1 or more, got {}", k);
  std::vector<double> scores(static_cast<size_t>(documents_));
  std::vector<int64_t> found;
  for (const std::string& word : words(query)) {
    const auto list = postings_.find(word);
    if (list == postings_.end()) continue;
    for (const Posting& posting : list->second) {
      double& score = scores[static_cast<size_t>(posting.document)];
      if (score == 0) found.push_back(posting.document);
      score += posting.weight;
    }
  }
  std::vector<std::pair<int64_t, float>> result;
  result.reserve(found.size());
  for (const int64_t document : found)
    result.emplace_back(document, static_cast<float>(scores[static_cast<size_t>(document)]));
  const auto better = [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  };
  const auto kept = static_cast<std::ptrdiff_t>(std::min(k, static_cast<int64_t>(result.size())));
  std::partial_sort(result.begin(), result.begin() + kept, result.end(), better);
  result.resize(static_cast<size_t>(kept));
  return result;
}

}  // namespace decovec
