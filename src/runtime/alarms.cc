#include "runtime/alarms.h"

#include <algorithm>

namespace choir {

Alarms::~Alarms() { stop(); }

void Alarms::start() {
  service_.start(1, [this](const Due& due) { ring(due); });
}

void Alarms::stop() { service_.stop(Left::kDropped); }

void Alarms::stop_until(Instant end) { service_.stop_until(clock_, end); }

void Alarms::set(ExecutorId id, std::optional<Instant> at) {
  const bool sooner = service_.with([&](Times& alarms) {
    const auto found = alarms.find(id);
    if (!at) {
      if (found != alarms.end()) alarms.erase(found);
      return false;
    }
    const bool earlier = found == alarms.end() || *at < found->second;
    alarms[id] = *at;
    return earlier;
  });
  if (sooner) service_.change([](Times&) {});
}

void Alarms::set_earlier(ExecutorId id, Instant at) {
  service_.change([&](Times& alarms) {
    const auto [found, added] = alarms.try_emplace(id, at);
    if (!added) found->second = std::min(found->second, at);
  });
}

std::optional<Alarms::Due> Alarms::take(Times& alarms, Nanos& again) const {
  const Instant now = clock_.now();
  Due due = take_due(alarms, now);
  if (!due.empty()) return due;
  if (const auto at = first(alarms)) again = std::min(again, *at - now);
  return std::nullopt;
}

Alarms::Due Alarms::take_due(Times& alarms, Instant now) {
  Due due;
  std::erase_if(alarms, [&](const auto& alarm) {
    if (alarm.second > now) return false;
    due.push_back(alarm.first);
    return true;
  });
  return due;
}

std::optional<Instant> Alarms::first(const Times& alarms) {
  std::optional<Instant> first;
  for (const auto& [id, at] : alarms) first = first ? std::min(*first, at) : at;
  return first;
}

void Alarms::ring(const Due& due) {
  for (const ExecutorId id : due) ring_(id);
}

void Alarms::ring_due() {
  ring(service_.with([&](Times& alarms) { return take_due(alarms, clock_.now()); }));
}

std::optional<Instant> Alarms::next() const {
  return service_.with([](const Times& alarms) { return first(alarms); });
}

}  // namespace choir
