#include "policy/hold.h"

#include <algorithm>
#include <tuple>

namespace choir {

void Hold::hold(std::string_view tenant, Instant until) {
  const auto own = std::ranges::find(leases, tenant, &Lease::tenant);
  if (own == leases.end())
    leases.push_back({std::string(tenant), until});
  else
    own->until = until;
}

void Hold::release(std::string_view tenant) {
  std::erase_if(leases, [&](const Lease& lease) { return lease.tenant == tenant; });
  let_go = true;
}

void Hold::end_leases(Instant now) {
  const auto ended = std::erase_if(leases, [&](const Lease& lease) { return lease.until <= now; });
  let_go = let_go || ended > 0;
}

void Hold::begin_anew(Instant now) {
  end_leases(now);
  let_go = false;
}

HoldPlan plan_holds(std::span<const HoldView> executors, Instant now) {
  HoldPlan plan;
  std::vector<const HoldView*> leave;
  for (const HoldView& view : executors) {
    Hold hold = view.hold;
    hold.end_leases(now);
    for (const Lease& lease : hold.leases)
      if (lease.until != kForEver)
        plan.again = plan.again ? std::min(*plan.again, lease.until) : lease.until;
    if (hold.let_go && hold.leases.empty() && view.in_memory && !view.pinned && !view.busy)
      leave.push_back(&view);
  }
  std::ranges::sort(leave, {},
                    [](const HoldView* view) { return std::tuple(view->last_used, view->id); });
  for (const HoldView* view : leave) plan.leave.push_back(view->id);
  return plan;
}

}  // namespace choir
