#include "runtime/alarms.h"

#include <algorithm>
#include <vector>

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

void Alarms::loop() {
  std::vector<ExecutorId> due;
  for (;;) {
    due.clear();
    Nanos sleep = std::chrono::hours(1);
    std::uint64_t seen = 0;
    const bool stopping = state_.with([&](State& s) {
      const Instant now = clock_.now();
      std::erase_if(s.alarms, [&](const auto& alarm) {
        if (alarm.second > now) {
          sleep = std::min(sleep, alarm.second - now);
          return false;
        }
        due.push_back(alarm.first);
        return true;
      });
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
