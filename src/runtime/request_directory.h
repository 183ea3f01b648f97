// The active requests of all nodes of this process, by id. Where a request is, its RequestState
// says; the directory finds the state, whichever node the request came to, has passed or is in,
// and whichever of them have ended since.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "base/guarded.h"
#include "choir/ids.h"
#include "runtime/request_home.h"

namespace choir {

class RequestState;

class RequestDirectory {
 public:
  // Ids are counted from `first` on.
  explicit RequestDirectory(std::uint64_t first) : next_(first) {}
  // The one that all nodes share; made by the first of them, gone with the last.
  static std::shared_ptr<RequestDirectory> of_process();

  // Unique in the process, and in the order of calls. Ids begin at random below 2^62, so that an id
  // of an earlier process finds nothing here, and 2^63 of them are left.
  RequestId next_id() { return {next_.fetch_add(1, std::memory_order_relaxed)}; }

  // From submit() until the end was told.
  void enter(const std::shared_ptr<RequestState>& request);
  void leave(RequestId id);
  // Null: it is not active (any more).
  std::shared_ptr<RequestState> find(RequestId id) const;

 private:
  std::atomic<std::uint64_t> next_;
  Guarded<std::unordered_map<RequestId, std::weak_ptr<RequestState>>> requests_;
};

// All go where the request is, and follow it when it moves meanwhile; none waits.
//
// The request is to end as kCancelled.
void cancel_wherever_it_is(RequestState& request);
// Gives `job` to the executor that has the request. False: it has ended.
bool post_wherever_it_is(const RequestState& request, const RequestJob& job);
// RequestHome::open() and refuse() of the node that has it. One that has ended is left alone.
void open_wherever_it_is(const RequestState& request, const Opener& open);
void refuse_wherever_it_is(const RequestState& request, const Error& error);

}  // namespace choir
