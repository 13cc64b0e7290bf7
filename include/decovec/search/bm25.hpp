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
/// case, a plural "s" removed (Harman's s-stemmer).
std::vector<std::string> words(std::string_view text);

/// Lexical ranking over an inverted index. Source: Robertson and Zaragoza 2009, with Lucene's idf ln(1 +
/// (N-n+.5)/(n+.5)).
class Bm25 {
 public:
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
