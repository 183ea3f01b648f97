// Our sampler against llama.cpp's own chain in the same order: the same tokens survive, equally
// likely.
#include <gtest/gtest.h>
#include <llama.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/sampler.h"

namespace choir {
namespace {

struct FreeChain {
  void operator()(llama_sampler* chain) const { llama_sampler_free(chain); }
};
using Chain = std::unique_ptr<llama_sampler, FreeChain>;

Chain chain_of(const Sampling& s, std::int32_t vocab_tokens, const std::vector<TokenId>& recent) {
  Chain chain(llama_sampler_chain_init(llama_sampler_chain_default_params()));
  const auto add = [&](llama_sampler* sampler) { llama_sampler_chain_add(chain.get(), sampler); };
  std::vector<llama_logit_bias> bias;
  for (const LogitBias& b : s.bias) bias.push_back({b.token, b.bias});
  add(llama_sampler_init_penalties(vocab_tokens, s.repeat_last_n, s.repeat_penalty,
                                   s.frequency_penalty, s.presence_penalty));
  add(llama_sampler_init_logit_bias(vocab_tokens, static_cast<std::int32_t>(bias.size()),
                                    bias.data()));
  add(llama_sampler_init_temp(s.temperature));
  add(llama_sampler_init_top_k(s.top_k));
  add(llama_sampler_init_top_p(s.top_p, 1));
  add(llama_sampler_init_min_p(s.min_p, 1));
  for (const TokenId token : recent) llama_sampler_accept(chain.get(), token);
  return chain;
}

using Odds = std::map<TokenId, double>;  // token -> probability

// llama.cpp's own probabilities are those from before its last cut.
Odds odds_of_llama(const std::vector<float>& logits, const Sampling& s,
                   const std::vector<TokenId>& recent) {
  std::vector<llama_token_data> data;
  for (std::size_t i = 0; i < logits.size(); ++i)
    data.push_back({static_cast<TokenId>(i), logits[i], 0});
  llama_token_data_array array{data.data(), data.size(), -1, false};
  llama_sampler_apply(chain_of(s, static_cast<std::int32_t>(logits.size()), recent).get(), &array);
  double max = -1e300;
  for (std::size_t i = 0; i < array.size; ++i)
    max = std::max(max, static_cast<double>(array.data[i].logit));
  Odds odds;
  double sum = 0;
  for (std::size_t i = 0; i < array.size; ++i)
    sum += odds[array.data[i].id] = std::exp(static_cast<double>(array.data[i].logit) - max);
  for (auto& [token, p] : odds) p /= sum;
  return odds;
}

Odds odds_of_choir(std::vector<float> logits, const Sampling& s, const std::vector<TokenId>& recent,
                   SamplerScratch& scratch) {
  Odds odds;
  double sum = 0;
  for (const Candidate& c : candidates_of(logits, s, recent, scratch))
    sum += odds[c.token] = static_cast<double>(c.weight);
  for (auto& [token, p] : odds) p /= sum;
  return odds;
}

struct Problem {
  std::vector<float> logits;
  Sampling sampling;
  std::vector<TokenId> recent;
};

// Logits without ties: llama.cpp keeps any of them, we keep the lowest ids.
Problem random_problem(std::mt19937& rng) {
  const auto pick = [&](std::vector<float> values) { return values[rng() % values.size()]; };
  Problem p;
  p.logits.resize(2 + rng() % (rng() % 10 == 0 ? 20'000 : 1000));
  std::normal_distribution<float> normal(0, pick({1, 3, 6}));
  for (float& x : p.logits) x = normal(rng);
  p.sampling.temperature = pick({0.3F, 0.8F, 1, 1.7F});
  p.sampling.top_k = std::vector{0, 3, 40, 200, 100'000}[rng() % 5];
  p.sampling.top_p = pick({0.3F, 0.8F, 0.95F, 1});
  p.sampling.min_p = pick({0, 0.01F, 0.05F, 0.4F});
  p.sampling.repeat_penalty = pick({1, 1.1F, 1.5F});
  p.sampling.frequency_penalty = pick({0, 0.3F, -0.5F});
  p.sampling.presence_penalty = pick({0, 0.7F, -0.2F});
  p.sampling.repeat_last_n = std::vector{0, 16, 64, 4096}[rng() % 4];
  const auto token = [&](std::size_t below) {
    return static_cast<TokenId>(rng() % std::min(below, p.logits.size()));
  };
  for (auto n = rng() % 150; n > 0; --n) p.recent.push_back(token(60));
  for (auto n = rng() % 3; n > 0; --n)
    p.sampling.bias.push_back({token(p.logits.size()), pick({-3, 4})});
  return p;
}

TEST(SamplerLlama, SameTokensEquallyLikely) {
  SamplerScratch scratch;
  int borders = 0;
  constexpr int kSeeds = 2'000;
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const Problem p = random_problem(rng);
    const Odds theirs = odds_of_llama(p.logits, p.sampling, p.recent);
    const Odds ours = odds_of_choir(p.logits, p.sampling, p.recent, scratch);
    // Both add floats up to top_p, in different orders: one token at the border may fall either
    // way.
    if (theirs.size() != ours.size()) {
      ASSERT_LE(std::max(theirs.size(), ours.size()) - std::min(theirs.size(), ours.size()), 1U);
      ++borders;
    }
    double apart = 0;  // total variation, twice
    for (const auto& [token, odds] : theirs)
      apart += std::abs(odds - (ours.contains(token) ? ours.at(token) : 0));
    for (const auto& [token, odds] : ours) apart += theirs.contains(token) ? 0 : odds;
    double least = 1;
    for (const auto& [token, odds] : theirs) least = std::min(least, odds);
    ASSERT_LE(apart, 2e-5 + (theirs.size() == ours.size() ? 0 : 2.1 * least));
  }
  EXPECT_LE(borders, kSeeds / 100);
}

TEST(SamplerLlama, GreedyTakesTheSame) {
  for (std::uint32_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    Problem p = random_problem(rng);
    p.sampling.temperature = 0;
    SamplerScratch scratch;
    const Odds theirs = odds_of_llama(p.logits, p.sampling, p.recent);
    const auto best = std::ranges::max_element(theirs, {}, &Odds::value_type::second);
    std::vector<float> logits = p.logits;
    ASSERT_EQ(sample(logits, p.sampling, p.recent, {}, scratch), best->first);
  }
}

}  // namespace
}  // namespace choir
