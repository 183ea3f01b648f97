#include "serve/ended_requests.h"

#include <cmath>
#include <utility>
#include <vector>

#include "serve/own_requests.h"
#include "serve/rounded.h"

namespace choir::serve {
namespace {

// Between its first token and its last; null where there are no two.
Json tokens_per_second(const Usage& usage) {
  const double seconds = usage.total_seconds - usage.first_token_seconds;
  if (usage.output_tokens < 2 || !(seconds > 0)) return nullptr;
  return std::round((usage.output_tokens - 1) / seconds * 10) / 10;
}

}  // namespace

void EndedRequests::on_request_ended(const RequestEnded& request) {
  Ended ended{.id = request.id,
              .executor = std::string(request.executor),
              .tenant = std::string(request.tenant),
              .priority = request.priority,
              .finish = request.finish,
              .error = request.error,
              .usage = request.usage,
              .at = clock_->now()};
  ended_.with([&](std::deque<Ended>& all) {
    const Instant at = ended.at;
    all.push_back(std::move(ended));
    while (all.size() > kMost || all.front().at + kKeptFor < at) all.pop_front();
  });
}

Json EndedRequests::shown(const Client& client, std::int64_t unix_ms) const {
  const Instant now = clock_->now();
  const std::vector<Ended> seen = ended_.with([&](const std::deque<Ended>& all) {
    std::vector<Ended> mine;
    for (auto request = all.rbegin(); request != all.rend(); ++request)
      if (request->at + kKeptFor >= now && sees(client, request->tenant)) mine.push_back(*request);
    return mine;
  });
  Json rows = Json::array();
  for (const Ended& request : seen)
    rows.push_back(row(request, unix_ms - (now - request.at) / std::chrono::milliseconds(1)));
  return rows;
}

Json EndedRequests::row(const Ended& r, std::int64_t ended_ms) {
  const Usage& usage = r.usage;
  return {{"id", std::to_string(r.id.value)},
          {"model", r.executor},
          {"tenant", r.tenant},
          {"priority", to_string(r.priority)},
          {"finish", to_string(r.finish)},
          {"error", r.error ? Json(to_string(*r.error)) : Json(nullptr)},
          {"prompt_tokens", usage.prompt_tokens},
          {"reused_tokens", usage.reused_tokens},
          {"recomputed_tokens", usage.recomputed_tokens},
          {"output_tokens", usage.output_tokens},
          {"tokens_per_second", tokens_per_second(usage)},
          {"held_seconds", whole_milliseconds(usage.held_seconds)},
          {"queue_seconds", whole_milliseconds(usage.queue_seconds)},
          {"first_token_seconds", whole_milliseconds(usage.first_token_seconds)},
          {"parked_seconds", whole_milliseconds(usage.parked_seconds)},
          {"total_seconds", whole_milliseconds(usage.total_seconds)},
          {"submitted_ms", ended_ms - std::llround(usage.total_seconds * 1000)},
          {"ended_ms", ended_ms}};
}

}  // namespace choir::serve
