#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/philox.h"

namespace choir {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

Sampling sampling_of(float temperature, std::int32_t top_k, float top_p, float min_p) {
  Sampling sampling;
  sampling.temperature = temperature;
  sampling.top_k = top_k;
  sampling.top_p = top_p;
  sampling.min_p = min_p;
  return sampling;
}
const Sampling kGreedy = sampling_of(0, 40, 0.95F, 0.05F);
const Sampling kNothing = sampling_of(1, 0, 1, 0);

// The same in double, with a full sort. Borders within `slack` may fall either way.
struct Reference {
  std::vector<TokenId> ranked;
  std::vector<double> weights;  // of the ranked

  std::size_t survivors(const Sampling& s, double slack) const {
    double all = 0;
    for (const double w : weights) all += w;
    std::size_t n = 0;
    for (double sum = 0; n < ranked.size(); ++n) {
      if (n > 0 && s.top_p < 1 && sum >= (static_cast<double>(s.top_p) + slack) * all) break;
      if (n > 0 && weights[n] < static_cast<double>(s.min_p) * (1 - slack)) break;
      sum += weights[n];
    }
    return n;
  }
};

Reference reference(std::vector<float> logits, const Sampling& s,
                    const std::vector<TokenId>& recent) {
  std::map<std::size_t, int> counts;
  const auto window = std::min(recent.size(), static_cast<std::size_t>(s.repeat_last_n));
  for (std::size_t i = recent.size() - window; i < recent.size(); ++i)
    ++counts[static_cast<std::size_t>(recent[i])];
  for (const auto& [token, count] : counts) {
    if (token >= logits.size()) continue;
    float& x = logits[token];
    x = x > 0 ? x / s.repeat_penalty : x * s.repeat_penalty;
    x -= static_cast<float>(count) * s.frequency_penalty + s.presence_penalty;
  }
  for (const auto& [token, bias] : s.bias)
    if (token >= 0 && static_cast<std::size_t>(token) < logits.size())
      logits[static_cast<std::size_t>(token)] += bias;

  Reference ref;
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > -kInf) ref.ranked.push_back(static_cast<TokenId>(i));
  const auto logit = [&](TokenId t) { return logits[static_cast<std::size_t>(t)]; };
  std::ranges::stable_sort(ref.ranked, std::greater<>(), logit);
  if (s.top_k > 0)
    ref.ranked.resize(std::min(ref.ranked.size(), static_cast<std::size_t>(s.top_k)));
  for (const TokenId t : ref.ranked) {
    const float max = logit(ref.ranked[0]);
    const double below = static_cast<double>(logit(t)) - static_cast<double>(max);
    ref.weights.push_back(logit(t) == max ? 1
                                          : std::exp(below / static_cast<double>(s.temperature)));
  }
  return ref;
}

constexpr TokenId kNone = -1;  // of no vocabulary

TokenId draw(std::vector<float> logits, const Sampling& s, const std::vector<TokenId>& recent = {},
             SamplePoint point = {}) {
  SamplerScratch scratch;
  return sample(logits, s, recent, point, scratch).value_or(kNone);
}

std::vector<TokenId> survivors(std::vector<float> logits, const Sampling& s,
                               std::vector<TokenId> recent = {}) {
  SamplerScratch scratch;
  std::vector<TokenId> tokens;
  for (const Candidate& c : candidates_of(logits, s, recent, scratch))
    if (c.weight > 0) tokens.push_back(c.token);
  std::ranges::sort(tokens);
  return tokens;
}

struct Case {
  std::string name;
  std::vector<float> logits;
  Sampling sampling;
  std::vector<TokenId> want;  // that can be drawn; empty: nothing is
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Survivors : public testing::TestWithParam<Case> {};

TEST_P(Survivors, Are) {
  const Case& c = GetParam();
  EXPECT_EQ(survivors(c.logits, c.sampling), c.want);
  for (std::uint32_t position = 0; position < 200; ++position) {
    const TokenId token = draw(c.logits, c.sampling, {}, {1, 0, position});
    EXPECT_TRUE(c.want.empty() ? token == kNone : std::ranges::binary_search(c.want, token))
        << token;
  }
}

Sampling with_bias(Sampling s, std::vector<LogitBias> bias) {
  s.bias = std::move(bias);
  return s;
}

const Case kCases[] = {
    {"GreedyTakesTheGreatest", {1, 3, 2}, kGreedy, {1}},
    {"GreedyTakesTheLowestOfATie", {1, 3, 3}, kGreedy, {1}},
    {"GreedyOfOneNan", {1, 2, kNan, 0}, kGreedy, {}},
    {"GreedyOfNanAmongInfinities", {kInf, -kInf, kNan}, kGreedy, {}},
    {"GreedyOfInfinitiesOfBothSigns", {-kInf, kInf, 3}, kGreedy, {1}},
    {"GreedyOfZerosOfBothSigns", {-0.0F, 0.0F}, kGreedy, {0}},
    {"GreedyOfOnlyNan", {kNan, kNan}, kGreedy, {}},
    {"TopKOfOneIsGreedy", {1, 3, 3}, sampling_of(1, 1, 1, 0), {1}},
    {"TopKTakesTheLowestIdsOfATie", {2, 1, 2, 2, 2}, sampling_of(1, 3, 1, 0), {0, 2, 3}},
    {"TopKPastTheVocabulary", {1, 2, 3}, sampling_of(1, 1000, 1, 0), {0, 1, 2}},
    {"TopKDoesNotFillUpWithBanned", {1, -kInf, -kInf, 3, -kInf}, sampling_of(1, 4, 1, 0), {0, 3}},
    {"TopPKeepsTheOneThatCrosses", {0, 0, 0, 0}, sampling_of(1, 0, 0.6F, 0), {0, 1, 2}},
    {"TopPEndsWhereTheSumIsExact", {0, 0, 0, 0}, sampling_of(1, 0, 0.5F, 0), {0, 1}},
    {"TopPOfZeroKeepsOne", {0, 1, 0}, sampling_of(1, 0, 0, 0), {1}},
    {"TopPAfterTopK", {0, 0, 0, 0}, sampling_of(1, 2, 0.6F, 0), {0, 1}},
    {"TopPKeepsAtLeastOne", {5, 0}, sampling_of(1, 0, 1e-9F, 0), {0}},
    {"MinPIsRelativeToTheMost", {0, -1, -2}, sampling_of(1, 0, 1, 0.3F), {0, 1}},
    {"MinPSeesTheTemperature", {0, -1, -2}, sampling_of(2, 0, 1, 0.3F), {0, 1, 2}},
    {"MinPAfterTopK", {0, -1, -2}, sampling_of(1, 2, 1, 0.1F), {0, 1}},
    {"MinPOfOneKeepsTies", {2, 1, 2}, sampling_of(1, 0, 1, 1), {0, 2}},
    {"MinPAboveOneKeepsTheMost", {2, 1, 0}, sampling_of(1, 2, 1, 1.5F), {0}},
    {"NothingKeepsAll", {0, -5, 3}, kNothing, {0, 1, 2}},
    {"NothingPassesOverBanned", {0, -kInf, 3, -kInf}, kNothing, {0, 2}},
    {"NothingOfOneNan", {0, -kInf, 3, kNan}, kNothing, {}},
    {"TopKOfOneNan", {0, kNan, 3}, sampling_of(1, 2, 1, 0), {}},
    {"TopPOfOneNan", {0, kNan, 3}, sampling_of(1, 0, 0.9F, 0), {}},
    {"MinPOfOneNan", {0, kNan, 3}, sampling_of(1, 0, 1, 0.1F), {}},
    {"ABanDoesNotHideNan", {0, kNan, 3}, with_bias(kNothing, {{1, -kInf}}), {}},
    {"ABanOfInfinityIsNoNan", {0, kInf, 3}, with_bias(kGreedy, {{1, -kInf}}), {2}},
    {"InfinitiesShare", {kInf, 3, kInf}, kNothing, {0, 2}},
    {"InfinityWithTopK", {1, 3, kInf, 4}, sampling_of(0.5F, 2, 0.9F, 0.1F), {2}},
    {"InfinityWithTopP", {1, kInf, kInf, 4}, sampling_of(0.5F, 0, 0.9F, 0), {1, 2}},
    {"GreatestFinite", {3e38F, -3e38F}, kNothing, {0}},
    {"TinyTemperature", {1, 2, 2}, sampling_of(1e-40F, 0, 1, 0), {1, 2}},
    {"AllBannedByTheModel", {-kInf, -kInf}, kNothing, {}},
    {"GreedyOfAllBannedByTheModel", {-kInf, -kInf}, kGreedy, {}},
    {"OneToken", {1}, sampling_of(1, 40, 0.9F, 0.1F), {0}},
    {"BiasBans", {1, 2, 3}, with_bias(kGreedy, {{2, -kInf}}), {1}},
    {"BiasLifts", {1, 2, 3}, with_bias(kGreedy, {{0, 5}}), {0}},
    {"BiasAddsUp", {1, 2, 3}, with_bias(kGreedy, {{0, 1.5F}, {0, 1}}), {0}},
    {"BiasOutOfRange", {1, 2, 3}, with_bias(kGreedy, {{-1, 9}, {3, 9}, {1 << 30, 9}}), {2}},
    {"BiasThatBansAllFallsBackToTheModel",
     {1, 7, 3},
     with_bias(kNothing, {{0, 9}, {0, -kInf}, {1, -kInf}, {2, -kInf}}),
     {1}},
};
INSTANTIATE_TEST_SUITE_P(, Survivors, testing::ValuesIn(kCases),
                         [](const auto& c) { return c.param.name; });

TEST(Sample, OfNoVocabularyIsNothing) { EXPECT_EQ(draw({}, kNothing), kNone); }

TEST(Penalties, AreThoseOfLlamaCpp) {
  Sampling s = kGreedy;
  s.repeat_penalty = 2;
  s.frequency_penalty = 0.5F;
  s.presence_penalty = 0.25F;
  s.repeat_last_n = 4;
  std::vector<float> logits = {4, -4, 0, 1, 7};
  SamplerScratch scratch;
  sample(logits, s, std::vector<TokenId>{3, 0, 1, 0, 2}, {}, scratch);  // the 3 is too long ago
  EXPECT_EQ(logits, (std::vector<float>{4.0F / 2 - 1.25F, -8 - 0.75F, -0.75F, 1, 7}));
}

TEST(Penalties, PassOverTokensOutOfRange) {
  Sampling s = kGreedy;
  s.repeat_penalty = 2;
  std::vector<float> logits = {4, 3};
  SamplerScratch scratch;
  EXPECT_EQ(sample(logits, s, std::vector<TokenId>{-1, 2, 1 << 30, 0}, {}, scratch), 1);
}

TEST(Penalties, OfNoTokensLookBackAtNone) {
  Sampling s = kGreedy;
  s.repeat_penalty = 2;
  s.repeat_last_n = 0;
  EXPECT_EQ(draw({4, 3}, s, {0}), 0);
}

TEST(Philox, GivesTheKnownAnswersOfItsAuthors) {
  using Four = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox4x32({}, {}), (Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}),
            (Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(UniformAt, StaysTheSameFromVersionToVersion) {
  EXPECT_EQ(uniform_at({0, 0, 0}), static_cast<double>(0x6627e8d5e169c58dULL >> 11) * 0x1p-53);
}

TEST(UniformAt, DependsOnEveryPartOfThePoint) {
  const double first = uniform_at({1, 1, 1});
  EXPECT_NE(first, uniform_at({2, 1, 1}));
  EXPECT_NE(first, uniform_at({1 + (std::uint64_t{1} << 32), 1, 1}));
  EXPECT_NE(first, uniform_at({1, 2, 1}));
  EXPECT_NE(first, uniform_at({1, 1, 2}));
}

// Random problems: sizes around the block borders, peaked and flat, ties, odd values.
struct Problem {
  std::vector<float> logits;
  Sampling sampling;
  std::vector<TokenId> recent;
};

Problem random_problem(std::mt19937& rng) {
  const auto upto = [&](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n + 1)); };
  const auto pick = [&](std::vector<float> values) { return values[rng() % values.size()]; };
  Problem p;
  p.logits.resize(static_cast<std::size_t>(upto(9) == 0 ? 1 + upto(20'000) : 1 + upto(700)));
  std::normal_distribution<float> normal(pick({0, -20, 20}), pick({0, 0.1F, 1, 3, 10}));
  const bool ties = upto(3) == 0;
  const bool odd = upto(3) == 0;
  for (float& x : p.logits) {
    x = normal(rng);
    if (ties) x = std::round(x);
    if (odd && upto(9) == 0) x = pick({-kInf, -3e38F});
  }
  p.sampling =
      sampling_of(pick({0.1F, 0.7F, 1, 2, 10}), std::vector{0, 0, 2, 5, 40, 300}[rng() % 6],
                  pick({0.1F, 0.5F, 0.9F, 0.95F, 0.999F, 1, 1}), pick({0, 0, 0.02F, 0.1F, 0.9F}));
  const int vocab_tokens = static_cast<int>(p.logits.size());
  if (upto(1) == 0) {
    p.sampling.repeat_penalty = pick({1, 1.3F, 0.8F});
    p.sampling.frequency_penalty = pick({0, 0.4F, -0.4F});
    p.sampling.presence_penalty = pick({0, 1, -1});
    p.sampling.repeat_last_n = std::vector{0, 1, 64, 4096}[rng() % 4];
    for (int n = upto(200); n > 0; --n) p.recent.push_back(upto(std::min(vocab_tokens, 50)));
  }
  for (int n = upto(3); n > 0; --n)
    p.sampling.bias.push_back({upto(vocab_tokens + 1) - 1, pick({-kInf, -5, 5})});
  return p;
}

TEST(SamplerProperty, SurvivorsAreThoseOfTheFullSort) {
  SamplerScratch scratch;  // one for all: what is left in it must not matter
  for (std::uint32_t seed = 1; seed <= 3'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const Problem p = random_problem(rng);
    const Reference ref = reference(p.logits, p.sampling, p.recent);
    if (ref.ranked.empty()) continue;  // has rows of its own

    std::vector<float> logits = p.logits;
    const auto found = candidates_of(logits, p.sampling, p.recent, scratch);
    std::vector<Candidate> got(found.begin(), found.end());
    std::ranges::sort(got, [](const Candidate& a, const Candidate& b) {
      return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
    });
    if (p.sampling.top_k == 0) std::erase_if(got, [](const Candidate& c) { return c.weight == 0; });
    std::size_t least = ref.survivors(p.sampling, -1e-5);
    const std::size_t most = ref.survivors(p.sampling, 1e-5);
    while (least > 1 && ref.weights[least - 1] < 1e-37) --least;  // too little for a float
    ASSERT_GE(got.size(), least);
    ASSERT_LE(got.size(), most);
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].token, ref.ranked[i]) << "rank " << i;
      ASSERT_NEAR(got[i].weight, ref.weights[i], 2e-5 * ref.weights[i] + 2e-38) << "rank " << i;
    }
  }
}

TEST(SamplerProperty, DrawIsAWalkThroughTheSurvivors) {
  SamplerScratch scratch, other;
  for (std::uint32_t seed = 1; seed <= 1'000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 rng(seed);
    const Problem p = random_problem(rng);
    const SamplePoint point{rng(), 3, seed * 7};
    if (reference(p.logits, p.sampling, p.recent).ranked.empty()) continue;  // has rows of its own
    std::vector<float> logits = p.logits;
    const TokenId token = sample(logits, p.sampling, p.recent, point, scratch).value_or(kNone);
    ASSERT_EQ(token, draw(p.logits, p.sampling, p.recent, point))
        << "memory of other draws must not matter";

    logits = p.logits;
    double sum = 0, before = 0, up_to = 0;
    for (const Candidate& c : candidates_of(logits, p.sampling, p.recent, other)) {
      if (c.token == token) before = sum;
      sum += static_cast<double>(c.weight);
      if (c.token == token) up_to = sum;
    }
    const double target = uniform_at(point) * sum;
    ASSERT_GT(up_to, before);
    ASSERT_GE(target, before - 1e-6 * sum);  // the whole vocabulary is summed in floats, by blocks
    ASSERT_LE(target, up_to + 1e-6 * sum);
  }
}

TEST(SamplerProperty, FrequenciesAreTheProbabilities) {
  std::mt19937 rng(5);
  std::normal_distribution<float> normal(0, 1.5F);
  std::vector<float> logits(600);
  for (float& x : logits) x = normal(rng);
  const Sampling kinds[] = {kNothing, sampling_of(0.7F, 20, 1, 0), sampling_of(1.3F, 0, 0.8F, 0),
                            sampling_of(1, 0, 1, 0.1F), sampling_of(0.8F, 40, 0.95F, 0.05F)};
  for (const Sampling& s : kinds) {
    const Reference ref = reference(logits, s, {});
    const std::size_t n = ref.survivors(s, 0);
    double all = 0;
    for (std::size_t i = 0; i < n; ++i) all += ref.weights[i];
    constexpr std::uint32_t kDraws = 40'000;
    std::map<TokenId, double> seen;
    SamplerScratch scratch;
    for (std::uint32_t position = 0; position < kDraws; ++position)
      ++seen[sample(logits, s, {}, {11, 0, position}, scratch).value()];
    double chi_square = 0, freedom = -1, rest = 0, rest_seen = kDraws;
    for (std::size_t i = 0; i < n; ++i) {
      const double expected = ref.weights[i] / all * kDraws;
      if (expected < 10) {  // the rare ones together
        rest += expected;
        continue;
      }
      rest_seen -= seen[ref.ranked[i]];
      chi_square += std::pow(seen[ref.ranked[i]] - expected, 2) / expected;
      ++freedom;
    }
    if (rest > 0)
      chi_square += std::pow(rest_seen - rest, 2) / rest, ++freedom;
    else
      EXPECT_EQ(rest_seen, 0);
    EXPECT_LT(chi_square, freedom + 4 * std::sqrt(2 * freedom))
        << "4 sigma; k " << s.top_k << " p " << s.top_p;
  }
}

TEST(Sampler, DoesNotAllocateOnceItHasSeenTheVocabulary) {
  std::vector<float> model(5'000), logits;
  std::mt19937 rng(1);
  for (float& x : model) x = static_cast<float>(rng() % 1000) / 50;
  Sampling s = sampling_of(1, 40, 0.9F, 0.05F);
  s.repeat_penalty = 1.1F;
  s.bias = {{3, 1}};
  const std::vector<TokenId> recent(64, 7);
  SamplerScratch scratch;
  std::vector<const void*> first;
  for (std::uint32_t position = 0; position < 50; ++position) {
    logits = model;
    sample(logits, s, recent, {1, 0, position}, scratch);
    const std::vector<const void*> at = {scratch.candidates.data(),   scratch.blocks.data(),
                                         scratch.block_max.data(),    scratch.ranked_max.data(),
                                         scratch.edits.before.data(), scratch.edits.counts.data()};
    if (first.empty()) first = at;
    ASSERT_EQ(at, first);
  }
}

}  // namespace
}  // namespace choir
