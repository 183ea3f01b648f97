// Decides how much of an executor's queue one tenant may fill, so that a tenant that sends more
// than the executor computes does not shut the others out.
//
// A tenant that is alone may fill the whole queue. Beside others it may have its weight's part of
// it, at least kQueueShareMin requests and at most half. What it has above that stays, but no more
// comes in before it is below.
//
// Others are the tenants that have requests in the queue, and for kTurnedAway the last one that was
// refused because the queue was full: else a tenant that has filled the queue alone could take each
// place that comes free before another tenant asks again.
//
// A value without clock or lock.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "choir/units.h"

namespace choir {

inline constexpr std::int32_t kQueueShareMin = 8;
inline constexpr Nanos kTurnedAway = std::chrono::seconds(10);

// The most requests that a tenant of `weight` may have in a queue of `queue_max` >= 1.
// `other_weights`: of the others together; 0: it is alone. Weights are positive. At least 1, and
// half comes before the minimum where the queue is short.
std::int32_t queue_share(std::int32_t queue_max, double weight, double other_weights);

// The tenants of one queue.
class QueueShares {
 public:
  // A request of the tenant is in. The weight of a tenant is that of its last request.
  void came(std::string_view tenant, double weight);
  // One is not in any more. Needs: it has come.
  void left(std::string_view tenant);
  // One was refused because the queue is full.
  void turned_away(std::string_view tenant, double weight, Instant now);

  std::int32_t requests(std::string_view tenant) const;
  // What a tenant that sends a request of this weight may have now. Cost: O(tenants).
  std::int32_t share(std::string_view tenant, double weight, std::int32_t queue_max,
                     Instant now) const;

 private:
  struct Tenant {
    double weight = 1;
    std::int32_t requests = 0;
  };
  struct TurnedAway {
    std::string tenant;
    double weight = 0;  // 0: none was
    Instant until;
  };
  std::map<std::string, Tenant, std::less<>> tenants_;  // those with requests
  TurnedAway turned_away_;
};

}  // namespace choir
