#include "measure.h"

#include <algorithm>
#include <chrono>

#include "interrupt.h"
#include "terminal.h"

namespace choir::app {
namespace {

constexpr std::chrono::milliseconds kLookEvery{50};
constexpr auto kText =
    "A choir is many voices under one conductor. Each has its own line to sing, each waits for the "
    "others where the music asks for it, and nobody sings louder than the room allows. ";

}  // namespace

Rates rates_of(std::vector<double> runs) {
  std::ranges::sort(runs);
  return {runs[runs.size() / 2], runs.front(), runs.back()};
}

Result<Request> request_of(const Node& node, std::string_view executor, std::int32_t prompt_tokens,
                           std::int32_t tokens, std::int32_t index) {
  const std::vector<TokenId> text = CHOIR_TRY(node.tokenize(executor, kText));
  if (text.empty())
    return fail(Code::kEngineFailed, "the model's vocabulary gives no token for a text");
  Request request;
  request.executor = executor;
  request.tokens.reserve(static_cast<std::size_t>(prompt_tokens));
  for (std::int32_t i = 0; i < prompt_tokens; ++i)
    request.tokens.push_back(text[static_cast<std::size_t>(i + index) % text.size()]);
  request.max_tokens = tokens;
  request.ignore_eos = true;
  request.sampling.temperature = 0;
  return request;
}

Result<std::vector<Usage>> run_all(Node& node, const std::vector<Request>& requests) {
  std::vector<Submission> running;
  running.reserve(requests.size());
  for (const Request& request : requests) running.push_back(CHOIR_TRY(node.submit(request)));
  std::vector<Usage> usages;
  for (Submission& submission : running) {
    while (submission.result.wait_for(kLookEvery) != std::future_status::ready) {
      watch_output();
      if (!interrupted()) continue;
      for (const Submission& other : running) static_cast<void>(node.cancel(other.id));
    }
    const Completion completion = submission.result.get();
    if (completion.finish == Finish::kCancelled) return fail(Code::kCancelled, "interrupted");
    if (completion.error) return tl::unexpected(*completion.error);
    usages.push_back(completion.usage);
  }
  return usages;
}

namespace {

double rate_until_last(const std::vector<Usage>& usages, std::int32_t Usage::*tokens,
                       double Usage::*until) {
  double seconds = 0;
  double sum = 0;
  for (const Usage& usage : usages) {
    seconds = std::max(seconds, usage.*until);
    sum += usage.*tokens;
  }
  return seconds > 0 ? sum / seconds : 0;
}

}  // namespace

double prefill_rate(const std::vector<Usage>& usages) {
  return rate_until_last(usages, &Usage::prompt_tokens, &Usage::first_token_seconds);
}

double output_rate(const std::vector<Usage>& usages) {
  return rate_until_last(usages, &Usage::output_tokens, &Usage::total_seconds);
}

}  // namespace choir::app
