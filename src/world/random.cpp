#include "decovec/world/random.hpp"

#include <cmath>
#include <numbers>

#include "io/error.hpp"
#include "world/draws.hpp"

namespace decovec {
namespace {

// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection whose output bits all depend on all
// input bits.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

RandomKey::RandomKey(uint64_t seed) : value(mix(seed)) {}

RandomKey RandomKey::with(uint64_t part) const {
  RandomKey key = *this;
  key.value = mix(value ^ mix(part));
  return key;
}

RandomKey RandomKey::with(std::string_view part) const {
  RandomKey key = with(~static_cast<uint64_t>(part.size()));  // so that "" differs from the number 0
  for (unsigned char byte : part) key.value = mix(key.value ^ byte);
  return key;
}

uint64_t random_bits(RandomKey key) { return mix(key.value); }

double random_uniform(RandomKey key) { return static_cast<double>(random_bits(key) >> 11) * 0x1p-53; }

uint64_t random_below(RandomKey key, uint64_t bound) {
  if (bound == 0) reject("random_below: bound: expected 1 or more, got 0");
  // Values past the largest multiple of bound are drawn again, so every result is equally likely.
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  uint64_t bits = random_bits(key);
  for (uint64_t attempt = 1; bits >= limit; ++attempt) bits = random_bits(key.with(attempt));
  return bits % bound;
}

std::vector<int64_t> random_permutation(RandomKey key, int64_t count) {
  return random_order<int64_t>(key, count);
}

at::Tensor random_normal(RandomKey key, const std::vector<int64_t>& shape, double deviation) {
  at::Tensor values = at::empty(shape, at::kFloat);
  float* data = values.data_ptr<float>();
  const int64_t count = values.numel();
  for (int64_t i = 0; i < count; i += 2) {  // Box-Muller gives two at a time
    const double u = 1.0 - random_uniform(key.with(static_cast<uint64_t>(i)));
    const double v = random_uniform(key.with(static_cast<uint64_t>(i) + 1));
    const double radius = deviation * std::sqrt(-2.0 * std::log(u));
    data[i] = static_cast<float>(radius * std::cos(2.0 * std::numbers::pi * v));
    if (i + 1 < count) data[i + 1] = static_cast<float>(radius * std::sin(2.0 * std::numbers::pi * v));
  }
  return values;
}

}  // namespace decovec
