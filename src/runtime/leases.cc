#include "runtime/leases.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "core/checks.h"

namespace choir {
namespace {

// Of one executor: more tenants than a node can serve at a time, some bytes each.
constexpr std::size_t kLeasesMax = 4096;

}  // namespace

Status Leases::hold(std::string_view name, std::string_view tenant,
                    std::chrono::milliseconds duration) {
  if (duration.count() == 0) return release(name, tenant);
  CHOIR_CHECK_OK(in_range("duration (ms)", duration.count(), 0,
                          std::numeric_limits<std::chrono::milliseconds::rep>::max()));
  CHOIR_CHECK_OK(check_name("tenant", tenant));
  const ExecutorRow row = CHOIR_TRY(p_.table.row(name));
  const Instant until = duration > kDeadlineMax ? kForEver : p_.clock.now() + duration;
  CHOIR_CHECK_OK(state_.with([&](State& s) -> Status {
    Hold& hold = s.holds[row.id];
    const bool known = std::ranges::find(hold.leases, tenant, &Lease::tenant) != hold.leases.end();
    if (!known && hold.leases.size() >= kLeasesMax)
      return fail(Code::kOverloaded,
                  "'" + row.config.name + "' is held by " + std::to_string(kLeasesMax) +
                      " tenants, that is the most; try again when one has let go of it",
                  {Fact::of("limit", kLeasesMax)});
    hold.hold(tenant, until);
    return {};
  }));
  if (!p_.table.row(row.id)) {  // it was removed meanwhile
    forget(row.id);
    return fail(Code::kNotFound, "executor '" + row.config.name + "' is just leaving");
  }
  if (until != kForEver) look_at(until);
  return {};
}

Status Leases::release(std::string_view name, std::string_view tenant) {
  CHOIR_CHECK_OK(check_name("tenant", tenant));
  const ExecutorRow row = CHOIR_TRY(p_.table.row(name));
  state_.with([&](State& s) { s.holds[row.id].release(tenant); });
  if (!p_.table.row(row.id)) {
    forget(row.id);
    return fail(Code::kNotFound, "executor '" + row.config.name + "' is just leaving");
  }
  look();
  return {};
}

std::vector<LeaseInfo> Leases::of(ExecutorId id) const {
  const Instant now = p_.clock.now();
  std::vector<LeaseInfo> infos;
  state_.with([&](const State& s) {
    const auto found = s.holds.find(id);
    if (found == s.holds.end()) return;
    for (const Lease& lease : found->second.leases) {
      if (lease.until <= now) continue;
      infos.push_back({.tenant = lease.tenant,
                       .seconds_left = lease.until == kForEver
                                           ? std::numeric_limits<double>::infinity()
                                           : to_seconds(lease.until - now)});
    }
  });
  std::ranges::sort(infos, {}, &LeaseInfo::tenant);
  return infos;
}

void Leases::look() {
  const bool first = state_.with([](State& s) { return !std::exchange(s.looking, true); });
  if (first) look_();
}

void Leases::look_for(ExecutorId id) {
  const bool matters = state_.with([&](const State& s) {
    const auto found = s.holds.find(id);
    return found != s.holds.end() && found->second.let_go && found->second.leases.empty();
  });
  if (matters) look();
}

std::map<ExecutorId, Hold> Leases::begin_look() {
  const Instant now = p_.clock.now();
  return state_.with([&](State& s) {
    s.looking = false;
    for (auto& [id, hold] : s.holds) hold.end_leases(now);
    return s.holds;
  });
}

void Leases::begin_anew(ExecutorId id) {
  const Instant now = p_.clock.now();
  state_.with([&](State& s) {
    const auto found = s.holds.find(id);
    if (found == s.holds.end()) return;
    found->second.begin_anew(now);
    if (found->second.leases.empty()) s.holds.erase(found);
  });
}

void Leases::forget(ExecutorId id) {
  state_.with([&](State& s) { s.holds.erase(id); });
}

Hold Leases::copy(ExecutorId id) const {
  return state_.with([&](const State& s) {
    const auto found = s.holds.find(id);
    return found == s.holds.end() ? Hold{} : found->second;
  });
}

void Leases::take_over(ExecutorId id, Hold hold) {
  if (hold == Hold{}) return;
  state_.with([&](State& s) { s.holds.insert_or_assign(id, std::move(hold)); });
  if (!p_.table.row(id)) return forget(id);
  look();
}

}  // namespace choir
