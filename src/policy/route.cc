#include "policy/route.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace choir {
namespace {

// Never empty, in order of id: so sums round alike and the first of equals has the smallest id,
// whatever the order of the input.
using Replicas = std::vector<const ReplicaView*>;

Replicas by_id(std::span<const ReplicaView> views) {
  Replicas replicas;
  for (const ReplicaView& view : views) replicas.push_back(&view);
  std::ranges::sort(replicas, {}, &ReplicaView::id);
  return replicas;
}

// Those that are not full; all when all are.
Replicas open_ones(const Replicas& all) {
  Replicas open;
  for (const ReplicaView* replica : all)
    if (!replica->full) open.push_back(replica);
  return open.empty() ? all : open;
}

template <class Rank>
const ReplicaView& first_by(const Replicas& replicas, Rank rank) {
  return **std::ranges::min_element(replicas, {},
                                    [&](const ReplicaView* replica) { return rank(*replica); });
}

const ReplicaView& least_loaded(const Replicas& replicas) {
  return first_by(replicas, [](const ReplicaView& replica) { return replica.outstanding_seconds; });
}

const ReplicaView& round_robin(const Replicas& all, std::uint64_t turn) {
  const std::size_t first = turn % all.size();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const ReplicaView& replica = *all[(first + i) % all.size()];
    if (!replica.full) return replica;
  }
  return *all[first];
}

// Seconds per token, with the mean of the known ones for a replica whose own are not.
class Speeds {
 public:
  explicit Speeds(const Replicas& all)
      : prompt_mean_(mean(all, &ReplicaView::seconds_per_prompt_token)),
        output_mean_(mean(all, &ReplicaView::seconds_per_output_token)) {}

  double per_prompt_token(const ReplicaView& replica) const {
    const double own = replica.seconds_per_prompt_token;
    return own > 0 ? own : prompt_mean_;
  }
  double per_output_token(const ReplicaView& replica) const {
    const double own = replica.seconds_per_output_token;
    return own > 0 ? own : output_mean_;
  }

 private:
  static double mean(const Replicas& all, double ReplicaView::*speed) {
    double sum = 0;
    int known = 0;
    for (const ReplicaView* replica : all) {
      if (replica->*speed <= 0) continue;
      sum += replica->*speed;
      ++known;
    }
    return known > 0 ? sum / known : 0;
  }

  double prompt_mean_;
  double output_mean_;
};

std::int32_t reusable(const ReplicaView& replica, const RouteView& request) {
  return std::min(replica.reusable_tokens, request.prompt_tokens);
}

const ReplicaView& fastest(const Replicas& open, const Speeds& speeds, const RouteView& request) {
  return first_by(open, [&](const ReplicaView& replica) {
    const std::int32_t prompt_tokens = request.prompt_tokens - reusable(replica, request);
    return replica.outstanding_seconds + prompt_tokens * speeds.per_prompt_token(replica) +
           request.output_tokens_max * speeds.per_output_token(replica);
  });
}

const ReplicaView& prefix_holder(const Replicas& open, const Speeds& speeds,
                                 const RouteView& request) {
  const ReplicaView& holder = first_by(open, [&](const ReplicaView& replica) {
    return std::pair(-reusable(replica, request), replica.outstanding_seconds);
  });
  const ReplicaView& other = least_loaded(open);
  const std::int32_t lacking = reusable(holder, request) - reusable(other, request);
  const double wait = holder.outstanding_seconds - other.outstanding_seconds;
  return wait > lacking * speeds.per_prompt_token(other) ? other : holder;
}

const ReplicaView& chosen(const Replicas& all, const RouteView& request) {
  switch (request.balance) {
    case Balance::kRoundRobin:
      return round_robin(all, request.turn);
    case Balance::kLeastLoaded:
      break;
    case Balance::kPriority:
      return first_by(open_ones(all), [](const ReplicaView& replica) {
        return std::pair(replica.priority, replica.outstanding_seconds);
      });
    case Balance::kFastest:
      return fastest(open_ones(all), Speeds(all), request);
    case Balance::kPrefixAffinity:
      return prefix_holder(open_ones(all), Speeds(all), request);
  }
  return least_loaded(open_ones(all));
}

}  // namespace

std::optional<Balance> balance_named(std::string_view name) {
  const auto* const found = std::ranges::find(kBalanceNames, name);
  if (found == kBalanceNames.end()) return std::nullopt;
  return static_cast<Balance>(found - kBalanceNames.begin());
}

std::optional<ExecutorId> route(std::span<const ReplicaView> replicas, const RouteView& request) {
  if (replicas.empty()) return std::nullopt;
  return chosen(by_id(replicas), request).id;
}

}  // namespace choir
