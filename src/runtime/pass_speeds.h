// How fast an executor's passes are, and so on how many of a lane's threads and with how many
// prompt tokens the next one is computed.
//
// Owned by an executor and used by the thread that has its turn; the speeds are in its stats too,
// for others.
#pragma once

#include <cstdint>
#include <vector>

#include "policy/thread_choice.h"
#include "runtime/executor_facts.h"

namespace choir {

class PassSpeeds {
 public:
  explicit PassSpeeds(const ExecutorFacts& facts) : facts_(facts) {}

  // The number of threads for a pass of `tokens` on a lane of `lane_threads`.
  int choose_threads(int lane_threads, std::int32_t tokens, Instant now) {
    return facts_.rules().adapt_threads ? choice_.choose(lane_threads, tokens, now) : lane_threads;
  }
  // A whole pass, with its sampling, took so long.
  void took(int lane_threads, std::int32_t tokens, int threads, Nanos elapsed, Instant now) {
    choice_.took(lane_threads, tokens, threads, elapsed, now);
  }
  // The engine's part of a pass; `prompt_tokens` of its `tokens` were of prompts.
  void count(int threads, std::int32_t tokens, std::int32_t prompt_tokens, double seconds);
  // Of a pass of as many tokens as a batch takes; 0: not known yet.
  double seconds_per_prompt_token(int lane_threads, std::int32_t batch_tokens_max) const {
    const auto width = static_cast<std::size_t>(choice_.in_use(lane_threads, batch_tokens_max));
    return width < of_prompts_.size() ? of_prompts_[width] : 0;
  }

 private:
  const ExecutorFacts& facts_;
  ThreadChoice choice_;
  std::vector<double> of_prompts_;  // seconds a token, by number of threads
};

}  // namespace choir
