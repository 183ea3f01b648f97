// Requests, to generate and to embed, that were accepted before their executor could take them: it
// is not in memory, it is moving, or their prompts are not tokenized yet. They wait as values in
// ActiveRequests, and no thread waits with them. The threads of Background load the executor and
// hand the requests over.
//
// Also the loads that are watched: of one executor there is one at a time.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "base/change_count.h"
#include "base/clock.h"
#include "base/guarded.h"
#include "choir/load.h"
#include "choir/prepared.h"
#include "core/frozen_executor.h"
#include "runtime/active_requests.h"
#include "runtime/background.h"
#include "runtime/load_flight.h"
#include "runtime/residents.h"

namespace choir {

// Deadlines of requests that wait for an executor have an alarm of their own: that of the executor
// goes when it leaves memory.
inline constexpr std::uint64_t kArrivals = 1ULL << 63U;
inline ExecutorId alarm_of_arrivals(ExecutorId id) { return {id.value | kArrivals}; }

class Arrivals {
 public:
  struct Parts {  // outlive it
    const ExecutorTable& table;
    ActiveRequests& active;
    Residents& residents;
    Background& background;
    const Clock& clock;
  };
  explicit Arrivals(const Parts& parts) : p_(parts) {}

  // As Node::begin_load(). Does not block.
  Result<LoadTicket> begin_load(std::string_view name, LoadWatch watch = {});
  // As ExecutorInfo::loading, of the loads that have a flight. Does not block.
  std::optional<double> loading(ExecutorId id) const;
  // One as a value for another node, and back; `request` is its own. Pure.
  static FrozenArrival freeze(Arrival&& arrival);
  static Arrival thaw(FrozenArrival&& frozen, std::shared_ptr<RequestState> request);
  // How often what loading() and a ticket say has changed.
  std::uint64_t changes() const { return changes_.counted(); }
  // Something waits for the executor, or is to be handed to it. Any thread, also under the lock of
  // ActiveRequests; does not block.
  void look_at(ExecutorId id);

 private:
  // After a load for requests has failed, requests fail at once with its error for a while.
  struct Failure {
    Error error;
    Instant until;
  };
  struct State {
    std::map<ExecutorId, std::shared_ptr<LoadFlight>> flights;  // not ended
    std::map<ExecutorId, Failure> failures;
  };

  void serve(ExecutorId id);
  void hand_over(Executor& executor);
  static Result<Executor::Mail> mail_of(const Executor& executor, Arrival& arrival);
  // The error of its last load for requests, where that is not to be tried again yet.
  std::optional<Error> recent_failure(ExecutorId id) const;
  void load_for_requests(const ExecutorRow& row);
  template <class Join>
  std::shared_ptr<LoadFlight> flight_of(const ExecutorRow& row, Join join);
  void fly(const std::shared_ptr<LoadFlight>& flight);
  void remember(ExecutorId id, const Status& loaded);

  const Parts p_;
  Guarded<State> state_;
  ChangeCount changes_;
};

}  // namespace choir
