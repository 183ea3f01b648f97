#include "runtime/load_flight.h"

#include <algorithm>
#include <string>
#include <utility>

#include "choir/request.h"
#include "runtime/dispatcher.h"

namespace choir {

bool LoadFlight::join(std::function<void()>& on_end) {
  return state_.with([&](State& s) {
    if (s.closed) return false;
    ++s.tickets;
    if (on_end) s.on_end.push_back(std::move(on_end));
    return true;
  });
}

bool LoadFlight::join_for_good() {
  return state_.with([](State& s) {
    s.for_good = s.for_good || !s.closed;
    return !s.closed;
  });
}

void LoadFlight::leave() {
  state_.with([](State& s) { --s.tickets; });
}

bool LoadFlight::begin() {
  return state_.with([](State& s) {
    s.closed = s.given_up();
    if (!s.closed) s.told.phase = LoadState::Phase::kLoading;
    return !s.closed;
  });
}

bool LoadFlight::progress(float fraction) {
  return state_.with([&](State& s) {
    s.told.fraction = std::clamp(static_cast<double>(fraction), s.told.fraction, 1.0);
    s.closed = s.closed || s.given_up();
    return !s.closed;
  });
}

void LoadFlight::end(Status result, ChangeCount& told) {
  std::vector<std::function<void()>> to_call;
  state_.change([&](State& s) {
    to_call = std::exchange(s.on_end, {});
    s.closed = true;
    s.told.phase = result ? LoadState::Phase::kLoaded : LoadState::Phase::kFailed;
    if (result)
      s.told.fraction = 1;
    else
      s.told.error = std::move(result).error();
    told.count();
  });
  for (const auto& on_end : to_call) on_end();
}

bool LoadFlight::for_good() const {
  return state_.with([](const State& s) { return s.for_good; });
}

LoadState LoadFlight::state() const {
  return state_.with([](const State& s) { return s.told; });
}

bool LoadFlight::wait_until(const Clock& clock, Instant end) const {
  return state_.wait_until(clock, end, [](const State& s) { return s.ended(); });
}

LoadState LoadTicket::state() const {
  if (flight_) return flight_->state();
  return {.phase = LoadState::Phase::kFailed,
          .error = Error{Code::kInvalidArgument, "this ticket belongs to no load"}};
}

Status LoadTicket::wait(std::chrono::milliseconds most) const {
  CHOIR_CHECK_OK(refuse_inside_callback("LoadTicket::wait()", "state()"));
  if (flight_) {
    const SteadyClock clock;
    const std::chrono::milliseconds none{0};
    if (!flight_->wait_until(clock, clock.now() + std::clamp(most, none, kDeadlineMax)))
      return fail(Code::kDeadlineExceeded, "after " + std::to_string(std::max(most, none).count()) +
                                               " ms executor '" + flight_->executor_name +
                                               "' is not loaded yet; the load goes on");
  }
  const LoadState now = state();
  if (now.error) return tl::unexpected(*now.error);
  return {};
}

void LoadTicket::cancel() {
  if (flight_ && !std::exchange(cancelled_, true)) flight_->leave();
}

}  // namespace choir
