#include "model/rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace decovec {
namespace {

// theta^(2i/d): positions a radian.
std::vector<float> periods(float theta, int64_t dimensions) {
  std::vector<float> result(static_cast<size_t>(dimensions / 2));
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] = std::pow(theta, static_cast<float>(2 * i) / static_cast<float>(dimensions));
  }
  return result;
}

std::vector<float> inverse_frequencies(float theta, int64_t dimensions) {
  std::vector<float> result = periods(theta, dimensions);
  for (float& value : result) value = 1.0f / value;
  return result;
}

float dynamic_theta(const Rope& rope, const ModelConfig& config, int64_t dimensions, int64_t length) {
  const auto factor = static_cast<float>(*rope.factor);
  const float reached = factor * static_cast<float>(std::max(length, config.max_positions)) /
                        static_cast<float>(config.max_positions);
  const double power = static_cast<double>(dimensions) / static_cast<double>(dimensions - 2);
  return static_cast<float>(rope.theta) * std::pow(reached - (factor - 1), static_cast<float>(power));
}

double yarn_scale(const Rope& rope) {
  const auto growth = [&](double weight) {
    return *rope.factor <= 1 ? 1.0 : 0.1 * weight * std::log(*rope.factor) + 1.0;
  };
  const bool by_mscale = rope.mscale.value_or(0) != 0 && rope.mscale_all_dim.value_or(0) != 0;
  return by_mscale ? growth(*rope.mscale) / growth(*rope.mscale_all_dim) : growth(1);
}

// Frequencies that turn beta_fast times and more within the original length stay, those that turn beta_slow
// times and less are divided by the factor, with a ramp between.
std::vector<float> yarn_frequencies(const Rope& rope, int64_t dimensions) {
  const auto turning = [&](double turns) {  // the dimension that turns so often within the original length
    return static_cast<double>(dimensions) *
           std::log(static_cast<double>(rope.original_positions) / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = turning(rope.beta_fast), high = turning(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(dimensions - 1));
  if (low == high) high += 0.001;

  const auto factor = static_cast<float>(*rope.factor);
  std::vector<float> result = periods(static_cast<float>(rope.theta), dimensions);
  for (size_t i = 0; i < result.size(); ++i) {
    const float ramp = (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float kept = 1.0f - std::clamp(ramp, 0.0f, 1.0f);
    result[i] = (1.0f / (factor * result[i])) * (1.0f - kept) + (1.0f / result[i]) * kept;
  }
  return result;
}

std::vector<float> llama3_frequencies(const Rope& rope, int64_t dimensions) {
  const auto original = static_cast<float>(rope.original_positions);
  const auto low = static_cast<float>(rope.low_frequency_factor);
  const auto high = static_cast<float>(rope.high_frequency_factor);
  const auto factor = static_cast<float>(*rope.factor);
  std::vector<float> inverse = inverse_frequencies(static_cast<float>(rope.theta), dimensions);
  for (float& frequency : inverse) {
    const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
    if (wavelength > original / low) {
      frequency /= factor;
    } else if (wavelength >= original / high) {
      const float kept = (original / wavelength - low) / (high - low);
      frequency = (1.0f - kept) * frequency / factor + kept * frequency;
    }
  }
  return inverse;
}

std::vector<float> longrope_frequencies(const Rope& rope, int64_t dimensions, bool is_long) {
  const std::vector<double>& factors = is_long ? rope.long_factors : rope.short_factors;
  std::vector<float> result = periods(static_cast<float>(rope.theta), dimensions);
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] = 1.0f / (static_cast<float>(factors[i]) * result[i]);
  }
  return result;
}

double longrope_scale(const Rope& rope, const ModelConfig& config) {
  const auto original = static_cast<double>(rope.original_positions);
  const double factor = rope.factor.value_or(static_cast<double>(config.max_positions) / original);
  return factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(original));
}

}  // namespace

int64_t rotary_class(const Rope& rope, const ModelConfig& config, int64_t length) {
  if (rope.type == RopeType::dynamic) return length > config.max_positions ? length : 0;
  if (rope.type == RopeType::longrope) return length > rope.original_positions ? 1 : 0;
  return 0;
}

RotaryFrequencies rotary_frequencies(const Rope& rope, const ModelConfig& config, int64_t length) {
  const int64_t dimensions = rotary_dimensions(config);
  const auto theta = static_cast<float>(rope.theta);
  switch (rope.type) {
    case RopeType::plain:
      return {inverse_frequencies(theta, dimensions)};
    case RopeType::linear: {
      RotaryFrequencies result{inverse_frequencies(theta, dimensions)};
      for (float& frequency : result.inverse) frequency /= static_cast<float>(*rope.factor);
      return result;
    }
    case RopeType::dynamic:
      return {inverse_frequencies(dynamic_theta(rope, config, dimensions, length), dimensions)};
    case RopeType::yarn:
      return {yarn_frequencies(rope, dimensions),
              static_cast<float>(rope.attention_factor.value_or(yarn_scale(rope)))};
    case RopeType::longrope:
      return {longrope_frequencies(rope, dimensions, rotary_class(rope, config, length) != 0),
              static_cast<float>(rope.attention_factor.value_or(longrope_scale(rope, config)))};
    case RopeType::llama3:
      return {llama3_frequencies(rope, dimensions)};
  }
  return {};
}

}  // namespace decovec
