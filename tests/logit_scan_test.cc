#include "engine/logit_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace choir {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

struct Input {
  std::vector<float> memory;  // one more in front, so that x is not aligned
  std::size_t block = 1;
  float max = -kInf;
  float scale = 1;

  const float* x() const { return memory.data() + 1; }
  std::size_t n() const { return memory.size() - 1; }
  std::size_t blocks() const { return (n() + block - 1) / block; }
};

Input random_input(std::mt19937& rng) {
  Input input;
  input.memory.resize(2 + rng() % 900);
  input.block = 1 + rng() % 300;
  input.scale = std::ldexp(1.0F, static_cast<int>(rng() % 8) - 4) * 1.44269504F;
  std::normal_distribution<float> normal(0, 8);
  const bool odd = rng() % 2 == 0;
  for (float& x : input.memory) {
    x = normal(rng);
    if (odd && rng() % 8 == 0) x = std::vector{-kInf, std::nanf(""), -3e38F, -0.0F}[rng() % 4];
    if (odd && rng() % 400 == 0) x = kInf;
  }
  for (std::size_t i = 0; i < input.n(); ++i) input.max = std::max(input.max, input.x()[i]);
  return input;
}

double weight(float x, const Input& in) {
  if (x == in.max) return 1;
  const double t =
      (static_cast<double>(x) - static_cast<double>(in.max)) * static_cast<double>(in.scale);
  return t > -126 ? std::exp2(t) : 0;  // also for NaN
}

struct Output {
  std::vector<float> maxima, weights;
  std::vector<double> sums;
  std::vector<TokenId> tokens;
  std::size_t first = 0;
  float max = 0;
  bool numbers = true;
  bool operator==(const Output&) const = default;
};

Output run(const LogitScan& scan, const Input& in, float bound) {
  Output out;
  out.maxima.resize(in.blocks());
  out.numbers = scan.block_maxima(in.x(), in.n(), in.block, out.maxima.data(), &out.max);
  out.sums.resize(in.blocks());
  scan.block_weights(in.x(), in.n(), in.block, in.max, in.scale, out.sums.data());
  std::vector<Candidate> found(in.n());
  found.resize(scan.collect(in.x(), in.n(), 100, bound, found.data()));
  scan.weigh(found.data(), found.size(), in.max, in.scale);
  for (const Candidate& c : found) {
    out.tokens.push_back(c.token);
    out.weights.push_back(c.weight);
  }
  out.first = scan.first_at_least(in.x(), in.n(), bound);
  return out;
}

TEST(LogitScanProperty, AllPathsGiveTheSameBits) {
  for (std::uint32_t seed = 1; seed <= 3'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const Input in = random_input(rng);
    const float bound = in.x()[rng() % in.n()];
    const Output want = run(logit_scans().back(), in, bound);
    for (const LogitScan& scan : logit_scans()) ASSERT_EQ(run(scan, in, bound), want) << scan.name;
  }
}

TEST(LogitScanProperty, MatchesALoop) {
  for (std::uint32_t seed = 1; seed <= 3'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const Input in = random_input(rng);
    const float bound = in.x()[rng() % in.n()];
    const Output got = run(logit_scan(), in, bound);
    for (std::size_t b = 0; b < in.blocks(); ++b) {
      float max = -kInf;
      double sum = 0;
      for (std::size_t i = b * in.block; i < std::min((b + 1) * in.block, in.n()); ++i) {
        max = in.x()[i] > max ? in.x()[i] : max;
        sum += weight(in.x()[i], in);
      }
      ASSERT_EQ(got.maxima[b], max);
      ASSERT_NEAR(got.sums[b], sum, 2e-5 * sum);
    }
    ASSERT_EQ(got.max, *std::ranges::max_element(got.maxima));
    ASSERT_EQ(got.numbers,
              std::none_of(in.x(), in.x() + in.n(), [](float x) { return std::isnan(x); }));
    std::size_t found = 0;
    std::size_t first = in.n();
    for (std::size_t i = 0; i < in.n(); ++i) {
      if (!(in.x()[i] >= bound)) continue;
      first = std::min(first, i);
      ASSERT_EQ(got.tokens.at(found), static_cast<TokenId>(100 + i));
      ASSERT_NEAR(got.weights[found], weight(in.x()[i], in), 2e-5 * weight(in.x()[i], in));
      ++found;
    }
    ASSERT_EQ(got.tokens.size(), found);
    ASSERT_EQ(got.first, first);
  }
}

}  // namespace
}  // namespace choir
