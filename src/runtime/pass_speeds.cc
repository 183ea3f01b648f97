#include "runtime/pass_speeds.h"

namespace choir {

void PassSpeeds::count(int threads, std::int32_t tokens, std::int32_t prompt_tokens,
                       double seconds) {
  ExecutorStats& stats = facts_.counters();
  if (prompt_tokens == 0) {
    // One row of a decode; a full batch makes it cheaper, which is what a newcomer will see too.
    std::atomic<double>& average = stats.seconds_per_output_token;
    const double old = average.load(std::memory_order_relaxed);
    const double row = seconds / tokens;
    average.store(old == 0 ? row : 0.9 * old + 0.1 * row, std::memory_order_relaxed);
  }
  if (prompt_tokens < 16 || prompt_tokens * 2 < tokens) return;  // the speed of prompts is wanted
  const auto width = static_cast<std::size_t>(threads);
  if (of_prompts_.size() <= width) of_prompts_.resize(width + 1, 0);
  const double measured = seconds / tokens;
  double& average = of_prompts_[width];
  average = average == 0 ? measured : 0.7 * average + 0.3 * measured;
  stats.seconds_per_prompt_token.store(average, std::memory_order_relaxed);
}

}  // namespace choir
