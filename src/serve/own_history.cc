#include "serve/own_history.h"

#include <array>
#include <string>

#include "base/clock.h"
#include "serve/by_door.h"
#include "serve/history.h"
#include "serve/query.h"

namespace choir::serve {
namespace {

constexpr std::int64_t kSecondsOtherwise = 900;

constexpr auto kHistoryQuery = std::to_array<BodyField>({
    {"seconds",
     {Kind::kInteger, 1, static_cast<double>(History::kMostSeconds)},
     "How far back; 900 if left out. Up to 900 in steps of 1 s, else of 10 s"},
});

Result<std::int64_t> seconds_in(const std::string& query) {
  CHOIR_CHECK_OK(has_only(query, {"seconds"}));
  return number_in_query(query, "seconds", {1, History::kMostSeconds}, kSecondsOtherwise);
}

}  // namespace

void add_history_route(Router& router, const Services& s) {
  router.add(
      {.method = "GET",
       .path = "/choir/v1/history",
       .summary = "Shows what the node did lately: rates, counts, bytes, and each model's",
       .query = kHistoryQuery,
       .reply = {"History"},
       .handler = by_door(s.doors, kHistoryQuery, [&s](const HttpRequest& request) -> Result<Json> {
         const std::int64_t seconds = CHOIR_TRY(seconds_in(request.query));
         return s.history.shown(s.clock.now(), unix_ms(), seconds);
       })});
}

}  // namespace choir::serve
