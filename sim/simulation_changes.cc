// What callers do to nodes and executors while requests run.
#include <algorithm>

#include "sim/simulation.h"

namespace choir::sim {

std::size_t Simulation::nodes_alive() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(nodes_, [](const auto& node) { return node != nullptr; }));
}

std::int32_t Simulation::active(const std::string& executor) {
  const auto node = where_.at(executor);
  if (!node) return 0;
  const auto info = nodes_[*node]->runtime().executor(executor);
  return info ? info->active : 0;
}

void Simulation::join_keeper(Runtime& node) {
  node.kept().set_keeper([this](ConversationKey key, KvState kv) {
    if (forgotten_.contains(key)) broken("a conversation that was deleted left its executor");
    aside_[key] = std::move(kv);
  });
}

void Simulation::change(const Change& c) {
  if (c.deed == Deed::kEndNode) return end_node(c);
  const auto node = where_.at(c.executor);
  if (c.deed == Deed::kAdd) return node ? void() : add(c);
  if (!node) return;
  Runtime& runtime = nodes_[*node]->runtime();
  leaving_ = c.executor;
  switch (c.deed) {
    case Deed::kMigrate:
      return migrate(c, *node);
    case Deed::kUnload:
      return unload(c, runtime);
    case Deed::kRemove:
      return remove(c, runtime);
    case Deed::kSuspend:
    case Deed::kResume: {
      const Status done =
          c.deed == Deed::kSuspend ? runtime.suspend(c.executor) : runtime.resume(c.executor);
      if (!done) broken("suspend or resume: " + done.error().message);
      ++report_.others;
      return;
    }
    case Deed::kResize:
      return resize(c, runtime);
    case Deed::kSpread:
      return spread(runtime);
    case Deed::kHold:
      return hold(c, runtime);
    case Deed::kForget:
      return forget(c, runtime);
    case Deed::kAdd:
    case Deed::kEndNode:
      return;
  }
}

void Simulation::migrate(const Change& c, std::size_t from) {
  std::vector<std::size_t> others;
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (i != from && nodes_[i]) others.push_back(i);
  if (others.empty()) return;
  const std::size_t to = others[c.dice % others.size()];
  const auto moving = static_cast<std::uint64_t>(active(c.executor));
  const Status moved = nodes_[from]->runtime().migrate(c.executor, nodes_[to]->runtime(),
                                                       [&] { where_[c.executor] = to; });
  if (!moved) return broken("migrate: " + moved.error().message);
  ++report_.migrations;
  report_.requests_moved += moving;
}

void Simulation::unload(const Change& c, Runtime& node) {
  const bool busy = active(c.executor) > 0 && node.in_memory(c.executor);
  const Status unloaded = node.unload(c.executor);
  if (busy && (unloaded || unloaded.error().code != Code::kOverloaded))
    broken("a busy executor was unloaded");
  if (!busy && !unloaded) broken("unload: " + unloaded.error().message);
  if (unloaded) ++report_.unloads;
}

void Simulation::remove(const Change& c, Runtime& node) {
  const Drain drain = c.dice % 2 == 0 ? Drain::kCancel : Drain::kFinish;
  if (drain == Drain::kCancel) cut_.insert(c.executor);
  const Status removed = node.remove(c.executor, drain);
  if (!removed) return broken("remove: " + removed.error().message);
  where_[c.executor].reset();
  ++report_.removals;
}

void Simulation::add(const Change& c) {
  const auto config = std::ranges::find(work_.executors, c.executor, &ExecutorConfig::name);
  std::size_t node = c.dice % nodes_.size();
  while (!nodes_[node]) node = (node + 1) % nodes_.size();
  Runtime& runtime = nodes_[node]->runtime();
  const Status added = c.dice % 2 == 0 ? runtime.declare(*config) : runtime.add(*config);
  if (!added) return broken("add: " + added.error().message);
  where_[c.executor] = node;
}

void Simulation::resize(const Change& c, Runtime& node) {
  const Status resized =
      node.resize(c.executor, 1 + static_cast<std::int32_t>(c.dice % 4), kSequenceTokensMax);
  if (!resized) return broken("resize: " + resized.error().message);
  ++report_.others;
}

void Simulation::spread(Runtime& node) {
  std::vector<std::string> names;
  for (const ExecutorInfo& info : node.executors()) names.push_back(info.config.name);
  if (const auto moved = node.spread_queues(names); !moved)
    broken("spread: " + moved.error().message);
  ++report_.others;
}

// A lease, or its end. An executor is not unloaded while it has work, although all of its leases
// have ended: its requests end as they would without leases.
void Simulation::hold(const Change& c, Runtime& node) {
  const std::string tenant(1, static_cast<char>('a' + c.dice % 3));
  const Status held = node.hold(c.executor, tenant, std::chrono::milliseconds(c.dice / 3 % 4));
  if (!held) broken("hold: " + held.error().message);
  ++report_.holds;
}

// From the executor's next turn on nobody has its KV state, until the conversation goes on.
void Simulation::forget(const Change& c, Runtime& node) {
  const ConversationKey key = key_of(c.executor, {1 + c.dice % 3});
  if (talking_.contains(key)) return;
  aside_.erase(key);
  if (!node.kept().holds(c.executor, key)) return;
  node.kept().forget(c.executor, key);
  forgotten_[key] = c.executor;
  ++report_.forgotten;
}

void Simulation::check_forgotten(const Executor& executor) {
  for (const auto& [key, name] : forgotten_)
    if (name == executor.name() && executor.kept().holds(key))
      broken("a conversation that was deleted is still in its executor");
}

void Simulation::end_node(const Change& c) {
  if (nodes_alive() < 2) return;
  std::size_t index = c.dice % nodes_.size();
  while (!nodes_[index]) index = (index + 1) % nodes_.size();
  DrivenNode& node = *nodes_[index];
  const Drain drain = c.dice % 3 == 0 ? Drain::kFinish : Drain::kCancel;
  for (const auto& [name, where] : where_)
    if (where == index && drain == Drain::kCancel) cut_.insert(name);
  node.runtime().shutdown(drain);
  for (int i = 0; i < 100 && node.busy(); ++i) step();  // turns end after their last request
  node.deliver();
  for (auto& [name, where] : where_)
    if (where == index) where.reset();
  report_.longest_wait = std::max(report_.longest_wait, node.longest_wait);
  report_.layout_changes += node.runtime().info().lane_switches;
  nodes_[index].reset();
  ++report_.nodes_ended;
}

}  // namespace choir::sim
