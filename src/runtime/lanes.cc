#include "runtime/lanes.h"

#include <sched.h>

#include <chrono>
#include <span>

#include "base/caught.h"
#include "base/log.h"

namespace choir {
namespace {

// A thread that serves callers (dispatchers, HTTP) goes before a lane when both want a core: its
// work is short, and a caller waits for it. A batch thread keeps its share of the CPU beside other
// programs, and is preempted by any other thread of ours that wakes. Needs no privilege.
constexpr Nanos kPause = std::chrono::milliseconds(100);  // after a failure of the lane itself

void become_batch_thread() {
  const sched_param none{};
  (void)sched_setscheduler(0, SCHED_BATCH, &none);
}

}  // namespace

Lanes::Lanes(std::vector<int> cpus, int lanes_max, const TurnRules& rules, const Clock& clock,
             Backend& backend, WakeAt wake_at)
    : cpus_(std::move(cpus)),
      clock_(clock),
      backend_(backend),
      wake_at_(std::move(wake_at)),
      state_(static_cast<int>(cpus_.size()), rules, lanes_max),
      log_(static_cast<int>(cpus_.size())) {}

Lanes::~Lanes() { stop(); }

void Lanes::start() {
  for (int lane = 0; lane < static_cast<int>(cpus_.size()); ++lane)
    threads_.start([this, lane] { loop(lane); });
}

void Lanes::stop() {
  state_.change([](State& s) { s.stopping = true; });
  threads_.join();
}

void Lanes::stop_until(Instant end) {
  state_.change([](State& s) { s.stopping = true; });
  threads_.join_until(clock_, end);
}

void Lanes::add(std::shared_ptr<Executor> executor) {
  log_.name(executor->id(), executor->name());
  state_.with([&](State& s) {
    s.schedule.add(executor->id(), executor->config().shares);
    s.executors.emplace(executor->id(), std::move(executor));
  });
}

void Lanes::set_shares(ExecutorId id, double shares) {
  state_.with([&](State& s) { s.schedule.set_shares(id, shares); });
}

void Lanes::set_rules(const TurnRules& rules) {
  state_.with([&](State& s) { s.schedule.set_rules(rules); });
}

void Lanes::retire(ExecutorId id) {
  // A lane may have waited for this one's work to choose another layout.
  state_.change([&](State& s) { s.schedule.retire(id); });
}

void Lanes::remove(ExecutorId id) {
  retire(id);
  // Destroyed after the lock is given back: it may be the last one to hold the executor.
  const std::optional<std::shared_ptr<Executor>> last =
      state_.wait([&](State& s) -> std::optional<std::shared_ptr<Executor>> {
        const auto found = s.executors.find(id);
        if (found == s.executors.end()) return nullptr;
        if (s.schedule.running(id)) return std::nullopt;
        s.schedule.remove(id);
        auto executor = std::move(found->second);
        s.executors.erase(found);
        return executor;
      });
}

void Lanes::ready(ExecutorId id, Priority best) {
  const auto now = clock_.now();
  std::vector<std::shared_ptr<Executor>> to_preempt;
  const bool wake = state_.with([&](State& s) {
    const bool idle_lane = s.schedule.ready(id, best, now);
    if (best == Priority::kCritical)
      for (const ExecutorId victim : s.schedule.to_preempt())
        to_preempt.push_back(s.executors.at(victim));
    return idle_lane;
  });
  if (wake) state_.wake();
  for (const auto& executor : to_preempt) executor->preempt();
}

LaneLayout Lanes::layout() const {
  return state_.with([](const State& s) { return s.schedule.layout(); });
}

int Lanes::lanes_max() const {
  return state_.with([](const State& s) { return s.schedule.lanes_max(); });
}

std::uint64_t Lanes::layout_changes() const {
  return state_.with([](const State& s) { return s.schedule.layout_changes(); });
}

Schedule::CoreSeconds Lanes::core_seconds(ExecutorId id) const {
  return state_.with([&](const State& s) { return s.schedule.core_seconds(id); });
}

TurnsSince Lanes::turns(std::span<const std::uint64_t> from) const {
  return {.now = clock_.now(), .lanes = log_.since(from)};
}

void Lanes::loop(int lane) {
  become_batch_thread();
  Pools pools;
  for (bool goes_on = true; goes_on;) {
    const auto went = caught([&]() -> Result<bool> { return turn_of(lane, pools); });
    goes_on = went.value_or(true);
    if (went) continue;
    log(LogLevel::kError, "a lane goes on after: " + went.error().message);
    state_.wait_until(clock_, clock_.now() + kPause, [](const State& s) { return s.stopping; });
  }
}

bool Lanes::turn_of(int lane, Pools& pools) {
  std::optional<Next> next = state_.wait([&](State& s) -> std::optional<Next> {
    if (s.stopping) return Next{};
    return next_of(s, lane);
  });
  if (!next->executor) return false;
  end_turn(lane, *next, carry_out(*next, pools));
  return true;
}

TurnResult Lanes::carry_out(const Next& next, Pools& pools) {
  const auto pool = caught([&]() -> Result<Pool*> {
    auto& known = pools[{next.turn.first_core, next.turn.cores}];
    if (!known)
      known = backend_.create_pool(
          std::span(cpus_).subspan(static_cast<std::size_t>(next.turn.first_core),
                                   static_cast<std::size_t>(next.turn.cores)));
    return known.get();
  });
  return pool ? next.executor->turn(**pool, next.turn.contended)
              : next.executor->fail_turn(pool.error());
}

std::optional<Lanes::Next> Lanes::next_of(State& s, int lane) const {
  const std::optional<Turn> turn = s.schedule.next(lane, clock_.now());
  if (!turn) return std::nullopt;
  return Next{s.executors.at(turn->executor), *turn, s.schedule.waiting_since(turn->executor)};
}

std::optional<Lanes::Next> Lanes::take_turn(int lane) {
  return state_.with([&](State& s) { return next_of(s, lane); });
}

void Lanes::end_turn(int lane, Next& next, TurnResult result) {
  // Before another lane can have the next turn: what that one wants would be overwritten.
  const Status told = caught([&] { wake_at_(next.turn.executor, result.wake_at); });
  if (!told) result.add_work(Priority::kLow);  // the next turn asks for it again
  if (result.computed.any())
    log_.add(lane, {.began = result.began,
                    .length = result.elapsed,
                    .executor = next.turn.executor,
                    .prompt_tokens = result.computed.prompt_tokens,
                    .decode_rows = result.computed.decode_rows,
                    .priority = result.computed.best,
                    .threads = result.threads,
                    .reason = next.turn.reason});
  // Before its end is told: the thread that removes the executor is then the one that destroys it.
  next.executor.reset();
  const auto now = clock_.now();
  const bool others = state_.with(
      [&](State& s) { return s.schedule.finished(lane, result.elapsed, result.best, now); });
  if (others || !result.best) state_.wake();  // others may wait for its end
}

}  // namespace choir
