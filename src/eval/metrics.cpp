#include "decovec/eval/metrics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "io/error.hpp"

namespace decovec {
namespace {

void check_cutoff(const char* metric, int64_t k) {
  if (k < 1) reject("{}: k: expected 1 or more, got {}", metric, k);
}

void check_lengths(const char* metric, size_t a, size_t b) {
  if (a != b) reject("{}: expected two lists of one length, got {} and {}", metric, a, b);
}

std::span<const Ranking::value_type> first(const Ranking& ranking, int64_t k) {
  return std::span(ranking).first(std::min(ranking.size(), static_cast<size_t>(k)));
}

int relevance(const Judgements& judgements, const std::string& document) {
  const auto judgement = judgements.find(document);
  return judgement == judgements.end() ? 0 : std::max(0, judgement->second);
}

double discounted(int relevance, size_t rank) { return relevance / std::log2(static_cast<double>(rank) + 2); }

// Ranks from 1, equal values at the mean of their ranks.
std::vector<double> average_ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return values[i] < values[j]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = 0.5 * static_cast<double>(begin + end + 1);
  }
  return ranks;
}

using Counts = std::map<int64_t, double>;

double entropy(const Counts& counts, double total) {
  double sum = 0;
  for (const auto& [label, count] : counts) sum -= count / total * std::log(count / total);
  return sum;
}

}  // namespace

Ranking trec_order(Ranking ranking) {
  for (const auto& [document, score] : ranking)
    if (std::isnan(score)) reject("trec_order: document '{}': the score is not a number", document);
  std::sort(ranking.begin(), ranking.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first > b.first;
  });
  return ranking;
}

double ndcg_at(const Ranking& ranking, const Judgements& judgements, int64_t k) {
  check_cutoff("ndcg_at", k);
  std::vector<int> ideal;
  for (const auto& [document, grade] : judgements)
    if (grade > 0) ideal.push_back(grade);
  if (ideal.empty()) return 0;
  std::sort(ideal.begin(), ideal.end(), std::greater<>());
  double best = 0, gained = 0;
  for (size_t i = 0; i < std::min(ideal.size(), static_cast<size_t>(k)); ++i) best += discounted(ideal[i], i);
  const auto top = first(ranking, k);
  for (size_t i = 0; i < top.size(); ++i) gained += discounted(relevance(judgements, top[i].first), i);
  return gained / best;
}

double reciprocal_rank_at(const Ranking& ranking, const Judgements& judgements, int64_t k) {
  check_cutoff("reciprocal_rank_at", k);
  const auto top = first(ranking, k);
  for (size_t i = 0; i < top.size(); ++i)
    if (relevance(judgements, top[i].first) > 0) return 1.0 / static_cast<double>(i + 1);
  return 0;
}

double recall_at(const Ranking& ranking, const Judgements& judgements, int64_t k) {
  check_cutoff("recall_at", k);
  const auto relevant = std::count_if(judgements.begin(), judgements.end(),
                                      [](const auto& judgement) { return judgement.second > 0; });
  if (relevant == 0) return 0;
  const auto top = first(ranking, k);
  const auto found = std::count_if(top.begin(), top.end(), [&](const auto& document) {
    return relevance(judgements, document.first) > 0;
  });
  return static_cast<double>(found) / static_cast<double>(relevant);
}

double spearman(const std::vector<double>& a, const std::vector<double>& b) {
  check_lengths("spearman", a.size(), b.size());
  constexpr double undefined = std::numeric_limits<double>::quiet_NaN();
  const auto is_nan = [](double value) { return std::isnan(value); };
  if (std::any_of(a.begin(), a.end(), is_nan) || std::any_of(b.begin(), b.end(), is_nan)) return undefined;
  const std::vector<double> x = average_ranks(a), y = average_ranks(b);
  const double mean = 0.5 * static_cast<double>(a.size() + 1);
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
    xy += (x[i] - mean) * (y[i] - mean);
  }
  return xx == 0 || yy == 0 ? undefined : xy / std::sqrt(xx) / std::sqrt(yy);
}

double v_measure(const std::vector<int64_t>& classes, const std::vector<int64_t>& clusters) {
  check_lengths("v_measure", classes.size(), clusters.size());
  if (classes.empty()) return 1;
  const auto total = static_cast<double>(classes.size());
  Counts in_class, in_cluster;
  std::map<std::pair<int64_t, int64_t>, double> in_both;
  for (size_t i = 0; i < classes.size(); ++i) {
    ++in_class[classes[i]];
    ++in_cluster[clusters[i]];
    ++in_both[{classes[i], clusters[i]}];
  }
  double information = 0;
  for (const auto& [pair, count] : in_both)
    information += count / total * std::log(count * total / (in_class[pair.first] * in_cluster[pair.second]));
  // A partition into one part has no entropy, and then nothing is left to tell apart.
  const double homogeneity = in_class.size() == 1 ? 1 : information / entropy(in_class, total);
  const double completeness = in_cluster.size() == 1 ? 1 : information / entropy(in_cluster, total);
  if (homogeneity + completeness <= 0) return 0;
  return 2 * homogeneity * completeness / (homogeneity + completeness);
}

double accuracy(const std::vector<int64_t>& truth, const std::vector<int64_t>& predicted) {
  check_lengths("accuracy", truth.size(), predicted.size());
  if (truth.empty()) return std::numeric_limits<double>::quiet_NaN();
  int64_t right = 0;
  for (size_t i = 0; i < truth.size(); ++i) right += truth[i] == predicted[i];
  return static_cast<double>(right) / static_cast<double>(truth.size());
}

}  // namespace decovec
