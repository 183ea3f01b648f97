// Microseconds per draw for each kind of sampling, at three vocabularies. Run it on an idle core:
//   taskset -c 0 ./dev bench sampler
// Logits look like those of a language model: a normal bulk and a few that stand out. Between two
// draws they are copied in, so that they come from the second-level cache, as after a matrix
// product.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "engine/sampler.h"

namespace {

using choir::Sampling;

std::vector<float> logits_like_a_model(std::size_t vocab_tokens) {
  std::mt19937 rng(7);
  std::normal_distribution<float> bulk(0, 2.5F);
  std::vector<float> logits(vocab_tokens);
  for (float& x : logits) x = bulk(rng);
  for (int i = 0; i < 200; ++i) logits[rng() % vocab_tokens] += 8 + bulk(rng);
  return logits;
}

// The median, so that a neighbour's burst does not count.
double microseconds(const std::vector<float>& model, const Sampling& sampling) {
  std::vector<float> logits(model.size());
  std::vector<choir::TokenId> recent;
  for (int i = 0; i < 4096; ++i) recent.push_back(i * 7 % static_cast<int>(model.size()));
  choir::SamplerScratch scratch;
  std::vector<double> times;
  for (std::uint32_t position = 0; position < 400; ++position) {
    std::ranges::copy(model, logits.begin());
    const auto start = std::chrono::steady_clock::now();
    choir::sample(logits, sampling, recent, {1, 0, position}, scratch);
    times.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

struct Row {
  const char* name;
  float temperature;
  std::int32_t top_k;
  float top_p, min_p, repeat_penalty;
  std::int32_t repeat_last_n;
};

const Row kRows[] = {
    {"greedy", 0, 40, 0.95F, 0.05F, 1, 64},
    {"top_k 40, top_p .95, min_p .05", 0.8F, 40, 0.95F, 0.05F, 1, 64},
    {"the same, penalties over 64", 0.8F, 40, 0.95F, 0.05F, 1.1F, 64},
    {"the same, penalties over 4096", 0.8F, 40, 0.95F, 0.05F, 1.1F, 4096},
    {"top_k 1000", 0.8F, 1000, 1, 0, 1, 64},
    {"top_p .95", 0.8F, 0, 0.95F, 0, 1, 64},
    {"top_p .95, temperature 5", 5, 0, 0.95F, 0, 1, 64},
    {"min_p .05", 0.8F, 0, 1, 0.05F, 1, 64},
    {"nothing", 0.8F, 0, 1, 0, 1, 64},
};

Sampling sampling_of(const Row& row) {
  Sampling sampling;
  sampling.temperature = row.temperature;
  sampling.top_k = row.top_k;
  sampling.top_p = row.top_p;
  sampling.min_p = row.min_p;
  sampling.repeat_penalty = row.repeat_penalty;
  sampling.repeat_last_n = row.repeat_last_n;
  return sampling;
}

}  // namespace

int main() {
  std::printf("path: %s\n%-34s%10d%10d%10d\n", choir::logit_scan().name, "us per draw", 32000,
              49152, 262144);
  for (const Row& row : kRows) {
    std::printf("%-34s", row.name);
    for (const std::size_t vocab_tokens : {32000U, 49152U, 262144U})
      std::printf("%10.1f", microseconds(logits_like_a_model(vocab_tokens), sampling_of(row)));
    std::printf("\n");
  }
}
