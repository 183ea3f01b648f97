#include "runtime/schedule.h"

#include <algorithm>

#include "base/check.h"

namespace choir {

Schedule::Schedule(int cores, const TurnRules& rules, int lanes_max)
    : cores_(cores),
      lanes_max_(lanes_max > 0 ? std::min(lanes_max, cores) : cores),
      rules_(rules),
      layout_(plan_lanes(1, cores, lanes_max_)) {
  CHOIR_CHECK(cores >= 1, "a node has a core");
  lanes_.resize(static_cast<std::size_t>(cores));
}

void Schedule::add(ExecutorId id, double shares) {
  Entry entry;
  entry.shares = shares;
  entry.virtual_seconds = times_.at(timeline(entry.priority, rules_));
  entries_.emplace(id, entry);
}

void Schedule::retire(ExecutorId id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  found->second.retired = true;
  if (found->second.state == State::kReady) found->second.state = State::kIdle;
}

void Schedule::remove(ExecutorId id) {
  CHOIR_CHECK(!running(id), "a running executor is not removed");
  entries_.erase(id);
}

void Schedule::set_shares(ExecutorId id, double shares) {
  if (const auto found = entries_.find(id); found != entries_.end()) found->second.shares = shares;
}

void Schedule::set_rules(const TurnRules& rules) {
  rules_ = rules;
  times_ = {};
  for (auto& [id, entry] : entries_) entry.virtual_seconds = 0;
}

void Schedule::join(Entry& entry, Priority best) {
  const double left = times_.at(timeline(entry.priority, rules_));
  const double joined = times_.at(timeline(best, rules_));
  entry.virtual_seconds = wake(entry.virtual_seconds - left + joined, joined, rules_);
  entry.priority = best;
}

bool Schedule::ready(ExecutorId id, Priority best, Instant now) {
  const auto found = entries_.find(id);
  if (found == entries_.end() || found->second.retired) return false;
  Entry& entry = found->second;
  switch (entry.state) {
    case State::kIdle:
      entry.state = State::kReady;
      entry.waiting_since = now;
      join(entry, best);
      break;
    case State::kReady:
      if (best < entry.priority) join(entry, best);
      break;
    case State::kRunning:
      entry.again_priority = entry.again ? std::min(entry.again_priority, best) : best;
      entry.again = true;
      return false;
  }
  return std::any_of(lanes_.begin(), lanes_.end(), [](const auto& lane) { return !lane; });
}

int Schedule::wanted_lanes(Instant now) const {
  int contenders = 0;
  Priority best = Priority::kLow;
  for (const auto& [id, entry] : entries_) {
    if (entry.state == State::kIdle) continue;
    // The class of an executor that waits rises with time; one that runs keeps the class of its
    // turn.
    const Nanos waited = entry.state == State::kReady ? now - entry.waiting_since : Nanos{0};
    const Priority priority =
        rules_.classes ? aged(entry.priority, waited, rules_.age_step) : Priority::kNormal;
    if (contenders == 0 || priority < best) {
      best = priority;
      contenders = 1;
    } else if (priority == best) {
      ++contenders;
    }
  }
  return std::clamp(contenders, 1, lanes_max_);
}

std::optional<Turn> Schedule::next(int lane, Instant now) {
  const auto index = static_cast<std::size_t>(lane);
  CHOIR_CHECK(!lanes_[index], "a lane has one turn at a time");
  views_.clear();
  for (const auto& [id, entry] : entries_)
    if (entry.state == State::kReady)
      views_.push_back({id, entry.priority, entry.virtual_seconds, entry.waiting_since});
  if (views_.empty()) return std::nullopt;

  const int wanted = wanted_lanes(now);
  if (wanted != static_cast<int>(layout_.threads.size())) {
    const bool busy =
        std::any_of(lanes_.begin(), lanes_.end(), [](const auto& l) { return l.has_value(); });
    if (busy) return std::nullopt;  // lanes of two layouts would share cores
    layout_ = plan_lanes(wanted, cores_, lanes_max_);
    ++layout_changes_;
  }
  if (index >= layout_.threads.size()) return std::nullopt;

  const std::optional<ExecutorId> chosen = next_turn(views_, now, rules_);
  if (!chosen) return std::nullopt;
  Entry& entry = entries_.at(*chosen);
  entry.state = State::kRunning;
  entry.again = false;
  double& time = times_.at(timeline(entry.priority, rules_));
  time = std::max(time, entry.virtual_seconds);

  Turn turn{.executor = *chosen,
            .first_core = 0,
            .cores = layout_.threads[index],
            .contended = views_.size() > 1,
            .reason = reason_of(views_, *chosen, rules_)};
  for (std::size_t i = 0; i < index; ++i) turn.first_core += layout_.threads[i];
  lanes_[index] = Running{*chosen, turn.cores};
  return turn;
}

bool Schedule::finished(int lane, Nanos elapsed, std::optional<Priority> best, Instant now) {
  auto& running = lanes_[static_cast<std::size_t>(lane)];
  CHOIR_CHECK(running.has_value(), "only a turn that was given can end");
  Entry& entry = entries_.at(running->executor);
  entry.virtual_seconds = charge(entry.virtual_seconds, elapsed, running->cores, entry.shares);
  entry.seconds.had += to_seconds(elapsed) * running->cores;
  divide(to_seconds(elapsed) * running->cores);
  running.reset();
  if (entry.retired) {
    entry.state = State::kIdle;
    return true;
  }
  if (entry.again) best = best ? std::min(*best, entry.again_priority) : entry.again_priority;
  entry.again = false;
  entry.waiting_since = now;
  entry.state = best ? State::kReady : State::kIdle;
  if (best && *best != entry.priority) join(entry, *best);

  std::size_t ready = 0;
  for (const auto& [id, e] : entries_) ready += e.state == State::kReady ? 1 : 0;
  // This lane takes one itself; a change of layout concerns them all.
  return ready > 1 || (ready > 0 && wanted_lanes(now) != static_cast<int>(layout_.threads.size()));
}

std::vector<ExecutorId> Schedule::to_preempt() const {
  std::vector<ExecutorId> victims;
  const bool critical_waits =
      rules_.classes && std::any_of(entries_.begin(), entries_.end(), [](const auto& e) {
        return e.second.state == State::kReady && e.second.priority == Priority::kCritical;
      });
  if (!critical_waits) return victims;
  for (const auto& lane : lanes_)
    if (lane && entries_.at(lane->executor).priority != Priority::kCritical)
      victims.push_back(lane->executor);
  return victims;
}

bool Schedule::running(ExecutorId id) const {
  return std::any_of(lanes_.begin(), lanes_.end(),
                     [&](const auto& lane) { return lane && lane->executor == id; });
}

void Schedule::divide(double core_seconds) {
  std::size_t best = kTimelines;
  double shares = 0;
  for (const auto& [id, entry] : entries_) {
    if (entry.state == State::kIdle) continue;
    const std::size_t own = timeline(entry.priority, rules_);
    if (own > best) continue;
    if (own < best) shares = 0;
    best = own;
    shares += entry.shares;
  }
  for (auto& [id, entry] : entries_)
    if (entry.state != State::kIdle && timeline(entry.priority, rules_) == best)
      entry.seconds.due += core_seconds * entry.shares / shares;
}

Schedule::CoreSeconds Schedule::core_seconds(ExecutorId id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? CoreSeconds() : found->second.seconds;
}

}  // namespace choir
