// A load that can be watched. Node::begin_load() gives tickets; all tickets and requests that
// wait for the same executor share one load.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "choir/export.h"
#include "choir/result.h"

namespace choir {

class LoadFlight;  // src/runtime/load_flight.h

struct LoadState {
  enum class Phase : std::uint8_t {
    kWaiting,  // another load goes first
    kLoading,
    kLoaded,
    kFailed,  // see error
  };
  Phase phase = Phase::kWaiting;
  double fraction = 0;  // of the weights that are read, 0 .. 1; 1 once it is loaded
  std::optional<Error> error;
};

// How Node::begin_load() begins.
struct LoadWatch {
  // Called once when the load has ended, also where the ticket was cancelled, on a thread of the
  // node; must not block. May be empty.
  std::function<void()> on_end = {};
  // A load for requests that failed a short while ago is not tried again before the time at which
  // requests try it (see Node::enqueue()): its error is returned at once.
  bool heed_failures = false;
};

// Any thread may call, and the ticket may outlive the node. Letting go of a ticket is not cancel().
class CHOIR_API LoadTicket {
 public:
  LoadTicket() = default;  // of no load: it has failed with kInvalidArgument
  explicit LoadTicket(std::shared_ptr<LoadFlight> flight) : flight_(std::move(flight)) {}

  // Does not block.
  LoadState state() const;
  // Blocks until the load has ended, for at most `most`, and returns its error; refused inside a
  // callback. kDeadlineExceeded when the time is over: the load goes on.
  Status wait(std::chrono::milliseconds most = std::chrono::hours(24)) const;
  // This ticket does not want the load any more. The load is given up, with kCancelled, once all of
  // its tickets are cancelled and no request and no blocking call has ever waited for it. Weights
  // that are being read are given up within one tensor. Does not block; a second call changes
  // nothing.
  void cancel();

 private:
  std::shared_ptr<LoadFlight> flight_;
  bool cancelled_ = false;
};

}  // namespace choir
