#include "serve/busy.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace choir::serve {
namespace {

// A place comes free when a request ends. While `ahead` requests end, so many seconds pass.
constexpr double kRetryLeast = 0.1;  // seconds; not sooner, however fast the model is
constexpr double kRetryMost = 60;    // clients of OpenAI take no more
constexpr double kRetryOtherwise = 1;

double retry_seconds(const QueuePlace& newest) {
  if (!newest.seconds || newest.ahead == 0) return kRetryOtherwise;
  return std::clamp(*newest.seconds / newest.ahead, kRetryLeast, kRetryMost);
}

std::int64_t milliseconds(double seconds) { return std::llround(seconds * 1000); }

bool of_a_queue(const Error& error) {
  return error.code == Code::kOverloaded && error.fact("queue_max").has_value();
}

std::optional<QueuePlace> newest_place(const Node& node, const std::string& executor,
                                       const std::string* tenant) {
  RequestId newest;
  for (const RequestInfo& request : node.requests())
    if (request.executor == executor && (tenant == nullptr || request.tenant == *tenant))
      newest = std::max(newest, request.id);
  const auto place = node.place(newest);
  return place ? std::optional(*place) : std::nullopt;
}

}  // namespace

ApiError busy_error(const Error& error, const std::optional<QueuePlace>& newest) {
  ApiError busy = api_error(error);
  if (!of_a_queue(error) || !newest) return busy;
  const double retry = retry_seconds(*newest);
  busy.headers = {{"retry-after", std::to_string(std::llround(std::ceil(retry)))},
                  {"retry-after-ms", std::to_string(milliseconds(retry))}};
  const bool begun = newest->ahead == 0 && newest->seconds == 0.0;  // then nothing waits
  busy.facts.push_back(Fact::of("position", begun ? 1 : newest->ahead + 2));
  if (newest->seconds)
    busy.facts.push_back(Fact::of("estimated_wait_ms", milliseconds(*newest->seconds)));
  return busy;
}

ApiError busy_error(const Node& node, const std::string& executor, const std::string& tenant,
                    const Error& error) {
  if (!of_a_queue(error)) return api_error(error);
  const bool own = error.fact("tenant_waiting").has_value();  // only the tenant's part is full
  return busy_error(error, newest_place(node, executor, own ? &tenant : nullptr));
}

}  // namespace choir::serve
