// The requests that have ended lately: what each took, and how its time was spent. For those who
// look at a request only when it is over.
//
// Told by the node as its observer. At most kMost of them are kept, and none for longer than
// kKeptFor; texts are not kept at all. Any thread; functions hold a lock for moments.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/guarded.h"
#include "choir/observer.h"
#include "serve/client_rights.h"
#include "serve/json_in.h"

namespace choir::serve {

class EndedRequests final : public Observer {
 public:
  static constexpr std::size_t kMost = 1000;
  static constexpr Nanos kKeptFor = std::chrono::minutes(15);

  explicit EndedRequests(std::shared_ptr<const Clock> clock) : clock_(std::move(clock)) {}

  void on_request_ended(const RequestEnded& request) override;
  // Those that the client may see, newest first: a JSON array. `unix_ms`: the time of day.
  Json shown(const Client& client, std::int64_t unix_ms) const;

 private:
  struct Ended {
    RequestId id;
    std::string executor;
    std::string tenant;
    Priority priority = Priority::kNormal;
    Finish finish = Finish::kFailed;
    std::optional<Code> error;
    Usage usage;
    Instant at;
  };
  static Json row(const Ended& request, std::int64_t ended_ms);

  const std::shared_ptr<const Clock> clock_;  // the node may outlive that of the daemon
  Guarded<std::deque<Ended>> ended_;          // oldest first
};

}  // namespace choir::serve
