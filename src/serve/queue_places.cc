#include "serve/queue_places.h"

#include <algorithm>
#include <cmath>

namespace choir::serve {

bool has_begun(const RequestInfo& request) {
  switch (request.phase) {
    case RequestPhase::kPrefill:
    case RequestPhase::kDecode:
    case RequestPhase::kParked:
    case RequestPhase::kEnding:
      return true;
    default:
      return false;
  }
}

double rounded_wait(double seconds) {
  const double step = seconds < 10 ? 1 : seconds < 60 ? 5 : seconds < 600 ? 30 : 300;
  return std::ceil(std::max(seconds, 0.0) / step) * step;
}

std::int32_t rounded_ahead(std::int32_t ahead) { return ahead <= 20 ? ahead : ahead / 10 * 10; }

void QueuePlaces::look(std::span<const RequestInfo> requests, const PlaceOf& place_of,
                       Instant now) {
  if (looked_ && now - *looked_ < kEvery) return;
  looked_ = now;
  places_.clear();
  std::size_t left = std::min(kMost, kLooksMost / std::max<std::size_t>(requests.size(), 1));
  for (const RequestInfo& request : requests) {  // by id, so the oldest come first
    if (has_begun(request)) continue;
    if (left-- == 0) return;
    const auto place = place_of(request.id);
    if (!place) continue;  // it has ended meanwhile
    QueuePlace told{rounded_ahead(place->ahead), place->seconds};
    if (told.seconds) told.seconds = rounded_wait(*told.seconds);
    places_.emplace(request.id, told);
  }
}

void QueuePlaces::add_to(Json& row, const RequestInfo& request) const {
  const auto found = places_.find(request.id);
  if (found == places_.end() || has_begun(request)) return;
  row["ahead"] = found->second.ahead;
  row["expected_seconds"] = found->second.seconds ? Json(*found->second.seconds) : Json(nullptr);
}

}  // namespace choir::serve
