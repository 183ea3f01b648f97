#include "serve/own_turns.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "choir/text.h"
#include "serve/by_door.h"
#include "serve/own_shapes.h"
#include "serve/query.h"
#include "serve/turn_blocks.h"

namespace choir::serve {
namespace {

// Since when all turns are kept: a lane forgets the oldest ones.
Instant known_since(const TurnsSince& kept) {
  Instant since;
  for (const LaneTurns& lane : kept.lanes)
    if (lane.next > lane.turns.size() && !lane.turns.empty())
      since = std::max(since, lane.turns.front().began);
  return since;
}

Result<Json> turns(const Node& node, const std::string& query) {
  CHOIR_CHECK_OK(has_only(query, {"from_us", "to_us", "format"}));
  const auto time_in = [&](std::string_view field, std::int64_t otherwise) {
    return number_in_query(query, field, {0, kTurnsMicrosMax}, otherwise);
  };
  const Instant from{std::chrono::microseconds(CHOIR_TRY(time_in("from_us", 0)))};
  const Instant to{std::chrono::microseconds(CHOIR_TRY(time_in("to_us", kTurnsMicrosMax)))};
  const std::string format = query_value(query, "format");
  if (!format.empty() && format != "choir" && format != "chrome")
    return fail(Code::kInvalidArgument,
                "'format' is '" + printable_line(format, 60) + "'; there are choir and chrome");
  TurnsSince kept = node.turns();
  const Instant known = std::max(from, known_since(kept));
  const TurnsSince all = between(std::move(kept), from, to);
  if (format == "chrome") return chrome_trace(all);
  Json exact = exact_turns(all, node.info().lanes);
  exact["from_us"] =
      std::chrono::duration_cast<std::chrono::microseconds>(known.since_start).count();
  return exact;
}

}  // namespace

void add_turn_routes(Router& router, const Services& s) {
  router.add(
      {.method = "GET",
       .path = "/choir/v1/turns",
       .summary = "Lists what the lanes have computed lately, turn by turn",
       .query = kTurnsQuery,
       .reply = {"Turns"},
       .handler = by_door(s.doors, kTurnsQuery, [&s](const HttpRequest& request) -> Result<Json> {
         return turns(s.node, request.query);
       })});
}

}  // namespace choir::serve
