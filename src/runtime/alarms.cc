#include "runtime/alarms.h"

#include <algorithm>

namespace choir {

Alarms::~Alarms() { stop(); }

void Alarms::start() {
  thread_.start([this] { loop(); });
}

void Alarms::stop() {
  state_.change([](State& s) { s.stopping = true; });
  thread_.join();
}

void Alarms::stop_until(Instant end) {
  state_.change([](State& s) { s.stopping = true; });
  thread_.join_until(clock_, end);
}

void Alarms::set(ExecutorId id, std::optional<Instant> at) {
  const bool sooner = state_.with([&](State& s) {
    const auto found = s.alarms.find(id);
    if (!at) {
      if (found != s.alarms.end()) s.alarms.erase(found);
      return false;
    }
    const bool earlier = found == s.alarms.end() || *at < found->second;
    s.alarms[id] = *at;
    if (earlier) ++s.version;
    return earlier;
  });
  if (sooner) state_.change([](State&) {});
}

void Alarms::set_earlier(ExecutorId id, Instant at) {
  state_.change([&](State& s) {
    const auto [found, added] = s.alarms.try_emplace(id, at);
    if (!added) found->second = std::min(found->second, at);
    ++s.version;
  });
}

std::vector<ExecutorId> Alarms::take_due(State& s, Instant now) {
  std::vector<ExecutorId> due;
  std::erase_if(s.alarms, [&](const auto& alarm) {
    if (alarm.second > now) return false;
    due.push_back(alarm.first);
    return true;
  });
  return due;
}

void Alarms::ring_due() {
  for (const ExecutorId id : state_.with([&](State& s) { return take_due(s, clock_.now()); }))
    ring_(id);
}

std::optional<Instant> Alarms::next() const {
  return state_.with([](const State& s) {
    std::optional<Instant> first;
    for (const auto& [id, at] : s.alarms) first = first ? std::min(*first, at) : at;
    return first;
  });
}

void Alarms::loop() {
  for (;;) {
    Nanos sleep = std::chrono::hours(1);
    std::uint64_t seen = 0;
    std::vector<ExecutorId> due;
    const bool stopping = state_.with([&](State& s) {
      const Instant now = clock_.now();
      due = take_due(s, now);
      for (const auto& [id, at] : s.alarms) sleep = std::min(sleep, at - now);
      seen = s.version;
      return s.stopping;
    });
    if (stopping) return;
    for (const ExecutorId id : due) ring_(id);
    if (!due.empty()) continue;
    state_.wait_for(sleep, [&](State& s) { return s.stopping || s.version != seen; });
  }
}

}  // namespace choir
