#include "serve/own_history.h"

#include <array>
#include <charconv>
#include <string>

#include "base/clock.h"
#include "choir/text.h"
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
  const auto values = CHOIR_TRY(list_in_query(query, "seconds"));
  if (!values || values->empty()) return kSecondsOtherwise;
  const std::string& text = values->front();
  std::int64_t seconds = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool whole = end.ec == std::errc() && end.ptr == text.data() + text.size();
  if (values->size() == 1 && whole && seconds >= 1 && seconds <= History::kMostSeconds)
    return seconds;
  return fail(Code::kInvalidArgument, "'seconds' is '" + printable_line(text, 60) +
                                          "'; it takes a whole number from 1 to " +
                                          std::to_string(History::kMostSeconds));
}

}  // namespace

void add_history_route(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/choir/v1/history",
              .summary = "Shows what the node did lately: rates, counts, bytes, and each model's",
              .query = kHistoryQuery,
              .reply = {"History"},
              .handler = by_door(s.doors, [&s](const HttpRequest& request) -> Result<Json> {
                const std::int64_t seconds = CHOIR_TRY(seconds_in(request.query));
                return s.history.shown(s.clock.now(), unix_ms(), seconds);
              })});
}

}  // namespace choir::serve
