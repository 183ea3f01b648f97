// Executors of a node that go to another one, or come from one: the calls of a move, as
// runtime/node_seam.h has them.
//
// Any thread may call. freeze() blocks for the pass that runs, expect() and withdraw() for a load,
// forget() for ends that are being told; where two calls of one move come at once, the later one
// waits for the other. The lock is held for moments, and under it those of ActiveRequests and what
// that takes.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/patience.h"
#include "runtime/active_requests.h"
#include "runtime/executor_table.h"
#include "runtime/lanes.h"
#include "runtime/leases.h"
#include "runtime/node_seam.h"
#include "runtime/request_directory.h"
#include "runtime/residents.h"

namespace choir {

class Moves {
 public:
  struct Parts {  // outlive it
    ExecutorTable& table;
    ActiveRequests& active;
    Residents& residents;
    Leases& leases;
    Lanes& lanes;
    const Clock& clock;
  };
  explicit Moves(const Parts& parts) : p_(parts) {}

  NodeId node() const { return node_; }

  Result<ExecutorMove> begin(std::string_view executor, NodeId to);
  Result<std::shared_ptr<FrozenExecutor>> freeze(const MoveKey& key);
  Status thaw(const MoveKey& key);
  Status forget(const MoveKey& key);

  Status expect(const ExecutorMove& move);
  Status adopt(FrozenExecutor& frozen);
  Result<NodeSeam::Withdrawn> withdraw(const MoveKey& key);

 private:
  // An executor of this node in a move that has not ended.
  struct Leaving {
    ExecutorMove move;
    NodeId to;
    ExecutorRow row;  // without the executor
    enum class Phase : std::uint8_t {
      kBegun,
      kBusy,  // a call of the move is at work
      kFrozen,
    } phase = Phase::kBegun;
    std::shared_ptr<Executor> executor = nullptr;  // frozen; null: it was not in memory
    std::shared_ptr<FrozenExecutor> frozen = nullptr;
    std::vector<RequestId> requests = {};  // in it
  };
  // What this node knows of the moves of an executor to it.
  struct Coming {
    Epoch epoch;         // {0}: none is under way
    bool ready = false;  // it can be adopted; else a call is at work
    enum class End : std::uint8_t { kAdopted, kWithdrawn };
    std::map<Epoch, End> over;  // how the last ones ended

    std::optional<End> end_of(Epoch move) const;
    Epoch newest() const;
    void end(Epoch move, End how);
  };
  struct State {
    std::map<std::string, Leaving> leaving;
    std::map<std::string, Coming> coming;
  };

  // The move when no call of it is at work, which `take` then decides under the lock; null: it is
  // not (any more) in this one.
  template <class Take>
  auto when_free(const MoveKey& key, Take take);
  void end_leaving(const MoveKey& key);
  std::shared_ptr<FrozenExecutor> value_of(const Leaving& leaving, Executor* source);
  // What goes into an executor, of values whose requests are active in this process; a request
  // whose result is not wanted any more is left out.
  struct Thawed {
    Executor::Belongings belongings;
    ActiveRequests::Adopted requests;
  };
  Thawed thaw_value(FrozenExecutor& frozen);
  void take_away(const std::string& name);
  // Forgets what is known of the executor whose last move is the oldest, where there are too many.
  static void limit(State& s, const std::string& but);

  const Parts p_;
  const std::shared_ptr<RequestDirectory> directory_ = RequestDirectory::of_process();
  const NodeId node_{directory_->next_id().value};
  PatientMonitor<State> state_;
};

}  // namespace choir
