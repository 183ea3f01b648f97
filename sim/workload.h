// What happens in a simulation, made from its seed before it begins.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "choir/config.h"
#include "choir/request.h"
#include "core/kv_state.h"
#include "core/sequence.h"
#include "sim/fake_engine.h"
#include "sim/simulator.h"

namespace choir::sim {

// No sequence of any executor gets longer, so that it says the same wherever it goes.
inline constexpr std::int32_t kSequenceTokensMax = 100;

// How a request comes in.
enum class Entry : std::uint8_t {
  kSubmit,   // a call that waits for a load
  kEnqueue,  // prepare() and enqueue()
  kLate,     // its prompt is made when its executor is there
  kAwaited,  // and not before open()
};

// A request that will be made.
struct Ask {
  Instant at;
  std::size_t index = 0;
  Request request;  // executor: its name, wherever it is then
  Sequence alone;   // the same, to be generated on its own
  Entry entry = Entry::kSubmit;
  Nanos opens_after{0};  // kAwaited
  bool refused = false;  // kLate and kAwaited: there will be no prompt
  bool streams = false;
  std::optional<Nanos> cancel_after;
  ConversationKey talk;
  std::size_t follow = 0;  // asked inside the callback of its end; 0: nothing
};

// Something else that changes the nodes.
enum class Deed : std::uint8_t {
  kMigrate,
  kUnload,
  kRemove,
  kAdd,
  kSuspend,
  kResume,
  kResize,
  kSpread,
  kEndNode,
  kHold,
  kForget,  // a conversation, between two of its turns
};
struct Change {
  Instant at;
  Deed deed = Deed::kMigrate;
  std::string executor;
  std::uint32_t dice = 0;  // decides what is open: node, drain, size, the tenant that holds
};

struct NodePlan {
  int cores = 1;
  NodeConfig config;
  FakeRules engines;
};

struct Workload {
  std::vector<NodePlan> nodes;
  std::vector<ExecutorConfig> executors;  // of node i % nodes
  std::set<std::string> declared;         // those that are not loaded at the beginning
  std::vector<Ask> asks;                  // by time, but for those that follow
  std::vector<Change> changes;            // by time
  std::vector<Ask> follows;               // asked when another ends
};

Workload make_workload(const SimOptions& options, std::mt19937& rng);

}  // namespace choir::sim
