#include "serve/own_requests.h"

#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "choir/text.h"
#include "serve/by_door.h"
#include "serve/ended_requests.h"
#include "serve/queue_places.h"
#include "serve/rounded.h"
#include "serve/waits.h"

namespace choir::serve {
namespace {

// Each place costs a look at all requests.
constexpr int kPlacesMax = 100;

// The oldest that wait have their place in the queue, the others only their state.
Json requests_in_sight(const Node& node, const Client& client) {
  Json rows = Json::array();
  int places = 0;
  const std::vector<RequestInfo> requests = node.requests();
  const std::vector<ExecutorInfo> executors = node.executors();
  const WhyWaits waits(requests, executors, node.policy());
  for (const RequestInfo& request : requests) {
    if (!sees(client, request.tenant)) continue;
    Json row = request_row(request);
    row["age_seconds"] = request.age_seconds;
    if (auto why = waits.of(request)) row["why"] = std::move(*why);
    if (has_begun(request)) {
      row["ahead"] = 0;
      row["expected_seconds"] = 0.0;
    } else if (++places <= kPlacesMax) {
      if (const auto place = node.place(request.id)) {
        row["ahead"] = place->ahead;
        row["expected_seconds"] = place->seconds ? Json(*place->seconds) : Json(nullptr);
      }
    }
    rows.push_back(std::move(row));
  }
  return {{"requests", std::move(rows)}};
}

Result<Json> cancelled(Node& node, const std::string& id) {
  RequestId request;
  const auto end = std::from_chars(id.data(), id.data() + id.size(), request.value);
  if (end.ec != std::errc() || end.ptr != id.data() + id.size())
    return fail(Code::kNotFound, "'" + printable_line(id, 60) + "' is no id of a request");
  CHOIR_CHECK_OK(node.cancel(request));
  return Json{{"id", id}, {"cancelled", true}};
}

}  // namespace

bool sees(const Client& client, std::string_view tenant) {
  return (client.scopes & kAdmin) != 0 || tenant == client.tenant;
}

Json request_row(const RequestInfo& r) {
  Json row = {{"id", std::to_string(r.id.value)},
              {"model", r.executor},
              {"tenant", r.tenant},
              {"priority", to_string(r.priority)},
              {"state", to_string(r.phase)},
              {"waits_for", to_string(r.waits_for)},
              {"prompt_tokens", r.prompt_tokens},
              {"prompt_tokens_done", r.prompt_tokens_done},
              {"reused_tokens", r.reused_tokens},
              {"output_tokens", r.output_tokens},
              {"held_seconds", whole_milliseconds(r.held_seconds)}};
  if (r.queue_seconds) row["queue_seconds"] = whole_milliseconds(*r.queue_seconds);
  if (r.first_token_seconds)
    row["first_token_seconds"] = whole_milliseconds(*r.first_token_seconds);
  return row;
}

void add_request_routes(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/choir/v1/requests",
              .summary = "Lists the requests that wait or run",
              .reply = {"Requests"},
              .handler = by_door(s.doors, [&s](const HttpRequest& r) -> Result<Json> {
                return requests_in_sight(s.node, r.client);
              })});
  router.add({.method = "GET",
              .path = "/choir/v1/requests/ended",
              .summary = "Lists the requests that ended in the last 15 minutes, newest first, at "
                         "most 1,000",
              .reply = {"EndedRequests"},
              .handler = by_door(s.doors, [&s](const HttpRequest& r) -> Result<Json> {
                return Json{{"requests", s.ended.shown(r.client, unix_ms())}};
              })});
  router.add({.method = "DELETE",
              .path = "/choir/v1/requests/*",
              .summary = "Cancels a request",
              .scopes = kAdmin,
              .reply = {"Cancelled"},
              .handler = by_door(
                  s.doors, [&s](const HttpRequest& r) { return cancelled(s.node, r.rest); })});
}

}  // namespace choir::serve
