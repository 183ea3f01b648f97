// Threads that take work out of a state until they are stopped: the one loop of dispatchers,
// workers, alarms and the writer of snapshots.
//
// The owner says what the state is, what the next work in it is, and how that is carried out.
// Limits are the owner's too: it refuses in change() what would be too much.
//
// Two loops are not of this kind. A lane (runtime/lanes) computes for as long as it has turns, and
// all lanes change their layout together. The duties of the global system have a new thread after
// each shutdown(), which does not wait for the old one inside a callback.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/caught.h"
#include "base/clock.h"
#include "base/guarded.h"
#include "base/log.h"
#include "base/threads.h"

namespace choir {

// What stop() does with the work that can still be taken.
enum class Left : std::uint8_t { kCarriedOut, kDropped };

// Any thread may call; only stop(), stop_until() and the destructor block.
template <class State, class Work>
class Service {
  struct Inside {
    State state{};
    std::uint64_t changes = 0;
    bool stopping = false;
    bool dropping = false;
  };

 public:
  // Takes the next work out of the state, under its lock. nullopt: none can begin now; then it is
  // asked again after the next change(), and at the latest after `again`, which it may shorten.
  using Take = std::function<std::optional<Work>(State&, Nanos& again)>;
  // On a thread of the service, without the lock; what the work holds ends there too. What it
  // throws is logged, and the next work is taken.
  using CarryOut = std::function<void(Work)>;

  // The state. It may outlive the service; no thread takes from it then.
  class Queue {
   public:
    // Touches the state, then lets the threads look for work.
    template <class F>
    auto change(F&& use) const {
      return inside_->change([&](Inside& i) {
        ++i.changes;
        return std::forward<F>(use)(i.state);
      });
    }

   private:
    friend class Service;
    std::shared_ptr<Monitor<Inside>> inside_ = std::make_shared<Monitor<Inside>>();
  };

  // `name` is for the log.
  Service(std::string name, Take take) : name_(std::move(name)), take_(std::move(take)) {}
  ~Service() { stop(Left::kDropped); }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Throws std::system_error where no thread can be had; those that were started run.
  void start(int threads, CarryOut carry_out) {
    start_each(threads, [carry_out = std::move(carry_out)] { return carry_out; });
  }
  // `for_thread` is called once on each of the threads and gives what that thread calls: for state
  // that a thread has for itself.
  void start_each(int threads, const std::function<CarryOut()>& for_thread) {
    for (int i = 0; i < threads; ++i) threads_.start([this, for_thread] { loop(for_thread()); });
  }

  // Does not wait. The threads end when they have no work, or with kDropped after what they do now.
  void ask_to_stop(Left left) {
    queue_.inside_->change([&](Inside& i) {
      ++i.changes;
      i.stopping = true;
      i.dropping = i.dropping || left == Left::kDropped;
    });
  }
  // Waits for the threads. Not on one of them. A second call does nothing.
  void stop(Left left) {
    ask_to_stop(left);
    threads_.join();
  }
  // For the exit of the process: what is left is dropped, and a thread that has not ended by then
  // runs until the process is gone.
  void stop_until(const Clock& clock, Instant end) {
    ask_to_stop(Left::kDropped);
    threads_.join_until(clock, end);
  }
  bool stopping() const {
    return queue_.inside_->with([](const Inside& i) { return i.stopping; });
  }

  Queue queue() const { return queue_; }
  template <class F>
  auto change(F&& use) {
    return queue_.change(std::forward<F>(use));
  }
  // Touches the state where that makes no work, or makes none begin earlier.
  template <class F>
  auto with(F&& use) {
    return queue_.inside_->with([&](Inside& i) { return std::forward<F>(use)(i.state); });
  }
  template <class F>
  auto with(F&& use) const {
    return std::as_const(*queue_.inside_).with([&](const Inside& i) {
      return std::forward<F>(use)(i.state);
    });
  }

  // For a service without threads: carries out on the calling thread what can be taken now, and
  // what comes of that. False: there was nothing.
  bool run_here(const CarryOut& carry_out) {
    for (bool any = false;; any = true) {
      Nanos again = kLongest;
      auto taken = queue_.inside_->with([&](Inside& i) { return take_one(i.state, again); });
      if (!taken.work) return any;
      carry_out_one(carry_out, *std::exchange(taken.work, std::nullopt));
    }
  }

 private:
  static constexpr Nanos kLongest = std::chrono::hours(1);
  static constexpr Nanos kPause = std::chrono::milliseconds(100);  // after a failure
  static constexpr int kFailuresMost = 3;  // one after the other, in a thread that is to stop

  void loop(const CarryOut& carry_out) {
    for (int failures = 0;;) {
      Taken taken;
      Nanos again = kLongest;
      std::uint64_t seen = 0;
      const bool ends = queue_.inside_->with([&](Inside& i) {
        if (!i.dropping) taken = take_one(i.state, again);
        failures = taken.failed ? failures + 1 : 0;
        seen = i.changes;
        return !taken.work && i.stopping && (!taken.failed || failures >= kFailuresMost);
      });
      if (ends) return;
      if (taken.work) {
        carry_out_one(carry_out, *std::exchange(taken.work, std::nullopt));
      } else {
        queue_.inside_->wait_for(again, [&](const Inside& i) { return i.changes != seen; });
      }
    }
  }
  struct Taken {
    std::optional<Work> work;
    bool failed = false;
  };
  // Where taking throws it is tried again; what is in the state stays there.
  Taken take_one(State& state, Nanos& again) {
    auto work = caught([&]() -> Result<std::optional<Work>> { return take_(state, again); });
    if (work) return {*std::move(work), false};
    log(LogLevel::kError, name_ + ": " + work.error().message);
    again = std::min(again, kPause);
    return {std::nullopt, true};
  }
  void carry_out_one(const CarryOut& carry_out, Work work) {
    const Status done = caught([&] { carry_out(std::move(work)); });
    if (!done) log(LogLevel::kError, name_ + ": " + done.error().message);
  }

  const std::string name_;
  const Take take_;
  const Queue queue_;
  Threads threads_;
};

}  // namespace choir
