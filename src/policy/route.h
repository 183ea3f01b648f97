// Decides which replica of a group gets a request.
//
// A group is several executors of the same model. The caller describes each of them as it is when
// the request arrives; nothing is kept between calls but the caller's count of requests.
//
// Pure, as all of policy/. Ideas: least work left (join the shortest queue, measured in seconds);
// minimum completion time (scheduling on machines of unequal speed); cache-aware routing (SGLang).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "choir/ids.h"
#include "choir/units.h"

namespace choir {

enum class Balance : std::uint8_t {
  kRoundRobin,      // one after the other, in order of id
  kLeastLoaded,     // fewest outstanding seconds
  kPriority,        // the best class that is not full: the others are its overflow
  kFastest,         // least expected time until the request is complete
  kPrefixAffinity,  // where most of the prompt is in KV already, unless waiting there costs more
};
inline constexpr std::array<std::string_view, 5> kBalanceNames = {
    "round_robin", "least_loaded", "priority", "fastest", "prefix_affinity"};
constexpr std::string_view to_string(Balance balance) {
  return kBalanceNames.at(static_cast<std::size_t>(balance));
}
// The inverse of to_string(); nullopt for any other text.
std::optional<Balance> balance_named(std::string_view name);

// One executor of the group. No number is negative or NaN; no id appears twice.
struct ReplicaView {
  ExecutorId id;
  Priority priority = Priority::kNormal;
  bool full = false;                    // its queue would refuse a request
  double outstanding_seconds = 0;       // estimated compute of all that waits or runs there
  double seconds_per_prompt_token = 0;  // measured; 0: not known yet
  double seconds_per_output_token = 0;  // measured; 0: not known yet
  std::int32_t reusable_tokens = 0;     // longest prefix of this request with KV state there
  bool operator==(const ReplicaView&) const = default;
};

// The request. No number is negative.
struct RouteView {
  std::int32_t prompt_tokens = 0;
  std::int32_t output_tokens_max = 0;
  std::uint64_t turn = 0;  // how many requests were routed in this group before
  Balance balance = Balance::kLeastLoaded;
  bool operator==(const RouteView&) const = default;
};

// The replica that gets the request; nullopt only when `replicas` is empty.
//
// A full replica gets nothing while another is not full. When all are, they are judged as if none
// were, and the queue of the chosen one refuses. What is equal goes to the smallest id; the order
// of the input does not matter.
//
//   kRoundRobin      number turn % count in order of id, or the next one that is not full
//   kLeastLoaded     least outstanding_seconds
//   kPriority        best priority, then least outstanding_seconds
//   kFastest         least outstanding_seconds + time for the prompt tokens to compute + time for
//                    output_tokens_max, at its speeds
//   kPrefixAffinity  the holder of the longest prefix (then least outstanding_seconds). But
//                    kLeastLoaded if none holds any, or if the holder makes the request wait
//                    longer than the least loaded replica needs to compute what it lacks of that
//                    prefix: the wait is the difference between their outstanding_seconds.
//
// A speed that is not known counts as the mean of those known in the group, full replicas included,
// and as 0 when none is known: kFastest is then kLeastLoaded, and kPrefixAffinity keeps to a holder
// only while no other has less to do. Cost: O(n log n).
std::optional<ExecutorId> route(std::span<const ReplicaView> replicas, const RouteView& request);

}  // namespace choir
