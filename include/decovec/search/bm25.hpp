#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace decovec {

struct Bm25Options {
  double k1 = 0.9;  ///< how fast repeated words saturate
  double b = 0.4;   ///< how much long documents are discounted
};

/// Words for lexical search: runs of letters and digits (any byte above 127 counts as a letter), ASCII lower
/// case, without Lucene's 33 English stop words, plurals of more than three bytes cut by Harman's s-stemmer
/// (1991).
std::vector<std::string> words(std::string_view text);

/// Lexical ranking over an inverted index. Source: Robertson and Zaragoza 2009, with Lucene's idf ln(1 +
/// (N-n+.5)/(n+.5)). Immutable, so calls are thread-safe.
class Bm25 {
 public:
  /// Throws std::invalid_argument for k1 < 0 or b outside [0, 1].
  explicit Bm25(const std::vector<std::string>& documents, const Bm25Options& options = {});

  /// The k best documents with a score above zero, best first, equal scores by document index. A query word
  /// counts as often as it stands in the query.
  std::vector<std::pair<int64_t, float>> top(std::string_view query, int64_t k) const;

 private:
  struct Posting {
    int32_t document;
    float weight;
  };
  std::unordered_map<std::string, std::vector<Posting>> postings_;
  int64_t documents_ = 0;
};

}  // namespace decovec
