// The ways in which threads share state here. No other file names std::mutex.
//
//   Guarded<T>   a T that can be touched only under its lock
//   Monitor<T>   a Guarded that threads can also wait on
//   Mailbox<T>   a bounded queue into the owner of a state; any thread posts, one takes
#pragma once

#include <chrono>
#include <cstddef>
#include <mutex>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/sleepers.h"

namespace choir {

// metrics.with([](auto& m) { ++m.steps; });
template <class T>
class Guarded {
 public:
  template <class... Args>
  explicit Guarded(Args&&... args) : value_(std::forward<Args>(args)...) {}

  template <class F>
  auto with(F&& use) {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, T&>>,
                  "a reference would outlive the lock; return a copy");
    const std::scoped_lock lock(mutex_);
    return std::forward<F>(use)(value_);
  }

  template <class F>
  auto with(F&& use) const {
    static_assert(!std::is_reference_v<std::invoke_result_t<F, const T&>>,
                  "a reference would outlive the lock; return a copy");
    const std::scoped_lock lock(mutex_);
    return std::forward<F>(use)(value_);
  }

 private:
  mutable std::mutex mutex_;
  T value_;
};

// State with waiters. Every change goes through change(), which wakes all threads that wait: the
// number of waiters is the number of lanes or dispatchers, so waking all costs less than being
// clever.
template <class T>
class Monitor {
 public:
  template <class... Args>
  explicit Monitor(Args&&... args) : value_(std::forward<Args>(args)...) {}

  // Touches the state without waking any thread.
  template <class F>
  auto with(F&& use) {
    const std::scoped_lock lock(mutex_);
    return std::forward<F>(use)(value_);
  }

  template <class F>
  auto with(F&& use) const {
    const std::scoped_lock lock(mutex_);
    return std::forward<F>(use)(value_);
  }

  // Touches the state, then wakes all waiters.
  template <class F>
  auto change(F&& use) {
    struct Wake {
      Sleepers& sleepers;
      ~Wake() { sleepers.wake_all(); }
    } wake{sleepers_};
    const std::scoped_lock lock(mutex_);
    return std::forward<F>(use)(value_);
  }

  // Wakes all waiters, for one that has changed the state by with(). Takes no lock.
  void wake() { sleepers_.wake_all(); }

  // Calls `attempt(state)` until it returns a true-ish value (optional, pointer, bool), sleeping
  // between changes, and returns that value.
  template <class F>
  auto wait(F&& attempt) {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (auto got = attempt(value_)) return got;
      sleepers_.wait(lock);
    }
  }

  // The same, but gives up after `most` and returns what the last attempt gave.
  template <class F>
  auto wait_for(std::chrono::nanoseconds most, F&& attempt) {
    std::unique_lock lock(mutex_);
    auto got = attempt(value_);
    if (got) return got;
    sleepers_.wait_for(lock, most);
    return attempt(value_);
  }

  // The same as wait(), but gives up at `end` and returns what the last attempt gave.
  template <class F>
  auto wait_until(const Clock& clock, Instant end, F&& attempt) {
    std::unique_lock lock(mutex_);
    for (;;) {
      auto got = attempt(value_);
      const Nanos left = end - clock.now();
      if (got || left <= Nanos{0}) return got;
      sleepers_.wait_for(lock, left);
    }
  }

 private:
  mutable std::mutex mutex_;
  Sleepers sleepers_;
  T value_;
};

// A bounded queue into a state that has one owner at a time. Never blocks.
template <class T>
class Mailbox {
 public:
  explicit Mailbox(std::size_t capacity) : capacity_(capacity) {}

  // False when full or closed: the caller must refuse its own caller (kOverloaded).
  [[nodiscard]] bool post(T item) {
    const std::scoped_lock lock(mutex_);
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    return true;
  }

  // The same of several, in their order: all, or none and they stay as they are.
  [[nodiscard]] bool post_all(std::span<T> items) {
    const std::scoped_lock lock(mutex_);
    if (closed_ || items_.size() + items.size() > capacity_) return false;
    for (T& item : items) items_.push_back(std::move(item));
    return true;
  }

  // The same of one that was accepted elsewhere, where it counts: it comes in however many there
  // are. False when closed.
  [[nodiscard]] bool post_accepted(T item) {
    const std::scoped_lock lock(mutex_);
    if (closed_) return false;
    items_.push_back(std::move(item));
    return true;
  }

  // Everything posted so far, oldest first, swapped into `taken` (its memory is reused).
  void take_all(std::vector<T>& taken) {
    taken.clear();
    const std::scoped_lock lock(mutex_);
    taken.swap(items_);
  }

  bool empty() const {
    const std::scoped_lock lock(mutex_);
    return items_.empty();
  }

  // Nothing is accepted from now on; what is inside can still be taken.
  void close() {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
  }
  // Again.
  void open() {
    const std::scoped_lock lock(mutex_);
    closed_ = false;
  }

 private:
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::vector<T> items_;
  bool closed_ = false;
};

}  // namespace choir
