// How sentence-transformers spells what decovec has.
#pragma once
#include <array>
#include <string_view>

#include "decovec/model/pooling.hpp"

namespace decovec {

struct PoolingNames {
  Pooling pooling;
  const char* mode;  ///< of versions 6 and on, in "pooling_mode"
  const char* flag;  ///< of versions before
};

/// In the order in which flags that are set together are laid side by side.
inline constexpr std::array kPoolingNames = {
    PoolingNames{Pooling::cls, "cls", "pooling_mode_cls_token"},
    PoolingNames{Pooling::max, "max", "pooling_mode_max_tokens"},
    PoolingNames{Pooling::mean, "mean", "pooling_mode_mean_tokens"},
    PoolingNames{Pooling::mean_sqrt_len, "mean_sqrt_len_tokens", "pooling_mode_mean_sqrt_len_tokens"},
    PoolingNames{Pooling::weighted_mean, "weightedmean", "pooling_mode_weightedmean_tokens"},
    PoolingNames{Pooling::last_token, "lasttoken", "pooling_mode_lasttoken"},
};

inline constexpr std::array<std::string_view, 4> kSimilarities = {"cosine", "dot", "euclidean", "manhattan"};

/// Not sentence-transformers' own: the value of "instruction_pooling" in "decovec" of the settings.
inline constexpr const char* kLlm2VecPooling = "llm2vec";

}  // namespace decovec
