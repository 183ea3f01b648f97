#include "sim/driven_node.h"

#include <algorithm>
#include <vector>

namespace choir::sim {
namespace {

Machine machine_of(int cores) {
  Machine machine;
  machine.cores = cores;
  machine.cpus_allowed.assign(static_cast<std::size_t>(cores), -1);
  machine.memory_bytes = machine.memory_available = 8ULL << 30U;
  return machine;
}

}  // namespace

DrivenNode::DrivenNode(Stage& stage, const NodeConfig& config, int cores, const FakeRules& engines)
    : stage_(stage), cores_(cores) {
  auto backend = std::make_unique<FakeBackend>(engines, &stage.clock);
  backend->on_engine = [&stage](FakeEngine& engine) {
    stage.engines.insert(&engine);
    engine.on_tick = [&stage] { stage.on_tick(); };
    engine.on_share = [&stage](SeqId from, SeqId to) {
      if (stage.on_share) stage.on_share(from, to);
    };
    engine.on_end = [&stage, &engine] { stage.engines.erase(&engine); };
  };
  backend->while_loading = [&stage](const std::string& path,
                                    const LoadProgress& progress) -> Status {
    return stage.while_loading ? stage.while_loading(path, progress) : Status();
  };
  runtime_ = Runtime::create_by_hand(config, machine_of(cores), std::move(backend), stage.clock);
}

void DrivenNode::give_turns() {
  for (int lane = 0; lane < cores_; ++lane) {
    if (busy_.contains(lane)) continue;
    if (auto next = runtime_->parts().lanes.take_turn(lane)) begin(lane, std::move(*next));
  }
}

void DrivenNode::begin(int lane, Lanes::Next next) {
  const Instant now = stage_.clock.now();
  for (const auto& [other, busy] : busy_)
    if (busy.next.turn.executor == next.turn.executor) stage_.broken("an executor runs twice");
  const Nanos waited = now - next.waiting_since;
  longest_wait = std::max(longest_wait, waited);
  if (stage_.wait_max > Nanos{0} && waited > stage_.wait_max)
    stage_.broken("executor '" + next.executor->name() + "' waited " +
                  std::to_string(waited / std::chrono::microseconds(1)) + " us for a turn");
  FakePool pool(next.turn.cores);
  // In the books of the lanes it runs until its end; what it does is done now.
  const TurnResult result = next.executor->turn(pool, next.turn.contended);
  if (!next.executor->books_balance()) stage_.broken("a running total differs from its sum");
  stage_.after_turn(*next.executor);
  const Instant ends = stage_.clock.now();
  stage_.clock.set(now);
  busy_.emplace(lane, Busy{std::move(next), ends, result});
  check_layout();
}

void DrivenNode::check_layout() {
  std::vector<int> users(static_cast<std::size_t>(cores_), 0);
  for (const auto& [lane, busy] : busy_)
    for (int core = 0; core < busy.next.turn.cores; ++core) {
      const int used = busy.next.turn.first_core + core;
      if (used >= cores_ || ++users[static_cast<std::size_t>(used)] > 1)
        stage_.broken("two lanes share a core");
    }
}

void DrivenNode::catch_up() {
  const Instant now = stage_.clock.now();
  for (int lane = 0; lane < cores_; ++lane) {
    const auto found = busy_.find(lane);
    if (found == busy_.end() || found->second.ends > now) continue;
    Busy over = std::move(found->second);
    busy_.erase(found);
    runtime_->parts().lanes.end_turn(lane, over.next, over.result);
  }
  runtime_->parts().alarms.ring_due();
}

std::optional<Instant> DrivenNode::next_event() const {
  std::optional<Instant> next = runtime_->parts().alarms.next();
  for (const auto& [lane, busy] : busy_) next = next ? std::min(*next, busy.ends) : busy.ends;
  return next;
}

}  // namespace choir::sim
