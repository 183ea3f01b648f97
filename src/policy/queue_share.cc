#include "policy/queue_share.h"

#include <algorithm>

#include "base/check.h"

namespace choir {

std::int32_t queue_share(std::int32_t queue_max, double weight, double other_weights) {
  if (other_weights <= 0) return queue_max;
  const std::int32_t half = std::max(queue_max / 2, 1);
  const auto part = static_cast<std::int32_t>(queue_max * (weight / (weight + other_weights)));
  return std::min(std::max(part, kQueueShareMin), half);
}

void QueueShares::came(std::string_view tenant, double weight) {
  auto found = tenants_.find(tenant);
  if (found == tenants_.end()) found = tenants_.emplace(std::string(tenant), Tenant{}).first;
  found->second.weight = weight;
  ++found->second.requests;
}

void QueueShares::left(std::string_view tenant) {
  const auto found = tenants_.find(tenant);
  CHOIR_CHECK(found != tenants_.end(), "who leaves has come");
  if (--found->second.requests == 0) tenants_.erase(found);
}

void QueueShares::turned_away(std::string_view tenant, double weight, Instant now) {
  turned_away_ = {.tenant = std::string(tenant), .weight = weight, .until = now + kTurnedAway};
}

std::int32_t QueueShares::requests(std::string_view tenant) const {
  const auto found = tenants_.find(tenant);
  return found == tenants_.end() ? 0 : found->second.requests;
}

std::int32_t QueueShares::share(std::string_view tenant, double weight, std::int32_t queue_max,
                                Instant now) const {
  double others = 0;
  for (const auto& [name, other] : tenants_)
    if (name != tenant) others += other.weight;
  const TurnedAway& away = turned_away_;
  if (away.weight > 0 && now < away.until && away.tenant != tenant &&
      !tenants_.contains(away.tenant))
    others += away.weight;
  return queue_share(queue_max, weight, others);
}

}  // namespace choir
