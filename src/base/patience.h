// Waiting that a simulation can take part in: one thread plays all of them there, so a call that
// waits for others has to let their work happen instead of sleeping.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <utility>

#include "base/guarded.h"

namespace choir {

// What this thread does where it would sleep; null: it sleeps.
inline thread_local const std::function<void()>* instead_of_sleeping = nullptr;

template <class T>
class PatientMonitor : public Monitor<T> {
 public:
  using Monitor<T>::Monitor;

  template <class F>
  auto wait(F&& attempt) {
    if (instead_of_sleeping == nullptr) return Monitor<T>::wait(std::forward<F>(attempt));
    for (;;) {
      if (auto got = this->with([&](T& value) { return attempt(value); })) return got;
      (*instead_of_sleeping)();
    }
  }

  template <class F>
  auto wait_until(const Clock& clock, Instant end, F&& attempt) {
    if (instead_of_sleeping == nullptr)
      return Monitor<T>::wait_until(clock, end, std::forward<F>(attempt));
    for (;;) {
      auto got = this->with([&](T& value) { return attempt(value); });
      if (got || clock.now() >= end) return got;
      (*instead_of_sleeping)();
    }
  }
};

template <class T>
T patient_get(std::future<T>& future) {
  if (instead_of_sleeping != nullptr)
    while (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
      (*instead_of_sleeping)();
  return future.get();
}

}  // namespace choir
