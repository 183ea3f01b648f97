// A few threads for what must not happen on a caller's or a callback's thread: loading a model,
// committing to a disk, ending an executor.
//
// Work has a key (an executor, a conversation). Of one key only so much waits and only so much runs
// at a time, so that a slow one does not take all threads from the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/process_exit.h"
#include "base/service.h"
#include "choir/result.h"

namespace choir {

class Workers {
 public:
  struct Limits {
    int threads = 1;
    int at_once = 1;                     // of one key; 1: in the order of post()
    std::size_t waiting_max = SIZE_MAX;  // of one key
  };
  using Key = std::uintptr_t;
  static constexpr Key kNoKey = 0;  // runs beside everything

  // kUnavailable: no threads can be had.
  static Result<std::unique_ptr<Workers>> start(const Limits& limits);
  // Without threads: the owner calls run_here().
  static std::unique_ptr<Workers> by_hand(const Limits& limits);
  // What was posted to threads is still done, except at the exit of the process. Not on one of its
  // own threads.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // kOverloaded: too much waits. `work` is called and destroyed on a worker; what it throws is
  // logged.
  Status post(Key key, std::function<void()> work);
  // Does on the calling thread what may begin, and what comes of that. Inside such work it does the
  // work of other keys, as another thread would. False: there was nothing.
  bool run_here();
  // Whether work of this key waits or runs.
  bool busy(Key key) const;

 private:
  struct Line {
    std::deque<std::function<void()>> waiting;
    int running = 0;
  };
  struct Queue {
    std::map<Key, Line> lines;  // those with work
    Key last = 0;               // whose work began last: the others come before it again
  };
  struct Next {
    Key key = 0;
    std::function<void()> work;
  };
  explicit Workers(const Limits& limits) : limits_(limits) {}
  std::optional<Next> next(Queue& q) const;
  void carry_out(Next next);

  const Limits limits_;
  const SteadyClock clock_;
  Service<Queue, Next> service_{"work in the background",
                                [this](Queue& q, Nanos&) { return next(q); }};
  // Not asked to stop before the nodes: ends of their requests may wait for work that is posted.
  const ExitEntry at_exit_{ExitEntry::Turn::kLast,
                           {.ask = [] {},
                            // What runs has until then, what waits is left alone.
                            .wait = [this](Instant end) { service_.stop_until(clock_, end); }}};
};

}  // namespace choir
