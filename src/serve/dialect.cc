#include "serve/dialect.h"

#include <algorithm>

namespace choir::serve {
namespace {

constexpr double kMsPerSecond = 1000;

double rate(double count, double seconds) { return seconds > 0 ? count / seconds : 0; }

}  // namespace

bool ended_well(Finish finish) { return finish == Finish::kStop || finish == Finish::kLength; }

std::string event_of(const Json& json) { return "data: " + to_text(json) + "\n\n"; }

Json timings_json(const Usage& usage) {
  const double prompt_n = usage.prompt_tokens - usage.reused_tokens;
  const double prompt_s = std::max(0.0, usage.first_token_seconds - usage.queue_seconds);
  const double output_s = std::max(0.0, usage.total_seconds - usage.first_token_seconds);
  return {{"cache_n", usage.reused_tokens},
          {"prompt_n", usage.prompt_tokens - usage.reused_tokens},
          {"prompt_ms", prompt_s * kMsPerSecond},
          {"prompt_per_token_ms", rate(prompt_s * kMsPerSecond, prompt_n)},
          {"prompt_per_second", rate(prompt_n, prompt_s)},
          {"predicted_n", usage.output_tokens},
          {"predicted_ms", output_s * kMsPerSecond},
          {"predicted_per_token_ms", rate(output_s * kMsPerSecond, usage.output_tokens)},
          {"predicted_per_second", rate(usage.output_tokens, output_s)},
          {"queue_ms", usage.queue_seconds * kMsPerSecond}};
}

Usage usage_of(std::span<const ChoiceEnd> ends, std::size_t choices) {
  Usage all;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const Usage& one = ends[i].completion.usage;
    all.output_tokens += one.output_tokens;
    if (i % choices != 0) continue;
    all.prompt_tokens += one.prompt_tokens;
    all.reused_tokens += one.reused_tokens;
  }
  return all;
}

}  // namespace choir::serve
