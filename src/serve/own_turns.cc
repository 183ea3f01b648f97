#include "serve/own_turns.h"

#include <charconv>
#include <chrono>
#include <limits>
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

// A time of the query; `otherwise` where it is left out.
Result<Instant> time_in(std::string_view query, std::string_view field, Instant otherwise) {
  const std::string text = query_value(query, field);
  if (text.empty()) return otherwise;
  std::int64_t micros = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), micros);
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 1000;
  if (end.ec != std::errc() || end.ptr != text.data() + text.size() || micros < 0 || micros > kMost)
    return fail(Code::kInvalidArgument, "'" + std::string(field) + "' is '" +
                                            printable_line(text, 60) +
                                            "'; it is a number of microseconds, at least 0");
  return Instant{std::chrono::microseconds(micros)};
}

Result<Json> turns(const Node& node, const std::string& query) {
  CHOIR_CHECK_OK(has_only(query, {"from_us", "to_us", "format"}));
  const Instant from = CHOIR_TRY(time_in(query, "from_us", {}));
  const Instant to = CHOIR_TRY(time_in(query, "to_us", {Nanos::max()}));
  const std::string format = query_value(query, "format");
  if (!format.empty() && format != "choir" && format != "chrome")
    return fail(Code::kInvalidArgument,
                "'format' is '" + printable_line(format, 60) + "'; there are choir and chrome");
  const TurnsSince all = between(node.turns(), from, to);
  return format == "chrome" ? chrome_trace(all) : exact_turns(all, node.info().lanes);
}

}  // namespace

void add_turn_routes(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/choir/v1/turns",
              .summary = "Lists what the lanes have computed lately, turn by turn",
              .query = kTurnsQuery,
              .reply = {"Turns"},
              .handler = by_door(s.doors, [&s](const HttpRequest& request) -> Result<Json> {
                return turns(s.node, request.query);
              })});
}

}  // namespace choir::serve
