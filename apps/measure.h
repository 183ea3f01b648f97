// What commands that measure have in common: prompts of a length, and requests run to their end.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "choir/node.h"

namespace choir::app {

// Of several runs of one thing.
struct Rates {
  double median = 0;  // tokens/s, as all here
  double lowest = 0;
  double highest = 0;
};
// Needs at least one.
Rates rates_of(std::vector<double> runs);

// A greedy request of exactly so many tokens in and out. Different `index`: different first tokens,
// so that no sequence can use what another one has computed. executor "": the only one.
Result<Request> request_of(const Node& node, std::string_view executor, std::int32_t prompt_tokens,
                           std::int32_t tokens, std::int32_t index);

// Submits all at once and waits for all. Ctrl-C ends them, as kCancelled; needs a Graceful.
Result<std::vector<Usage>> run_all(Node& node, const std::vector<Request>& requests);

// Tokens of requests that began together, until the last of them had...
double prefill_rate(const std::vector<Usage>& usages);  // of prompts; its first token
double output_rate(const std::vector<Usage>& usages);   // written; ended

}  // namespace choir::app
