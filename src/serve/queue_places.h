// Where the requests that wait stand in their queues, as readers of events are told: seldom enough
// and rounded, so that a queue that moves does not send all of its rows again at each look.
//
// Each place costs a look at all requests, so only the oldest that wait have one, the fewer the
// more requests there are.
//
// One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>

#include "choir/request_info.h"
#include "choir/result.h"
#include "choir/units.h"
#include "serve/json_in.h"

namespace choir::serve {

// Whether it does not wait for its first pass any more. Pure.
bool has_begun(const RequestInfo& request);

// To what a person can tell apart: seconds, then 5 s, half minutes, and from 10 minutes on 5
// minutes. Pure.
double rounded_wait(double seconds);
// Exact up to 20, then tens. Pure.
std::int32_t rounded_ahead(std::int32_t ahead);

class QueuePlaces {
 public:
  static constexpr Nanos kEvery = std::chrono::seconds(2);
  static constexpr std::size_t kMost = 100;
  static constexpr std::size_t kLooksMost = 20'000;  // at requests, each time: some ms
  using PlaceOf = std::function<Result<QueuePlace>(RequestId)>;

  // Asks where the oldest that wait stand, if the last time is kEvery ago.
  void look(std::span<const RequestInfo> requests, const PlaceOf& place_of, Instant now);
  // "ahead" and "expected_seconds" (null: nobody can tell), where its place is known.
  void add_to(Json& row, const RequestInfo& request) const;

 private:
  std::optional<Instant> looked_;
  std::map<RequestId, QueuePlace> places_;  // rounded
};

}  // namespace choir::serve
