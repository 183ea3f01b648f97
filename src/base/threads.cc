#include "base/threads.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <utility>

#include "base/caught.h"
#include "base/log.h"

namespace choir {
namespace {

thread_local bool this_thread_is_ours = false;

// The thread on which ends what was let go of where nothing may be joined. Made when it is first
// needed.
class Ender {
 public:
  static Ender& of_process() {
    static Ender* const ender = new Ender;  // outlives all static objects
    return *ender;
  }

  void post(std::function<void()> end) {
    queue_.change([&](Queue& q) { q.ends.push_back(std::move(end)); });
  }

 private:
  struct Queue {
    std::deque<std::function<void()>> ends;
    bool stopping = false;
  };

  Ender() {
    threads_.start([this] { loop(); });
  }

  // An end may wait for the very thread that exits, where that is one of ours.
  void wait_until(Instant end) { threads_.join_until(clock_, may_join() ? end : clock_.now()); }

  void loop() {
    this_thread_is_ours = false;
    for (;;) {
      using Next = std::optional<std::function<void()>>;
      const std::function<void()> end = *queue_.wait([](Queue& q) -> Next {
        if (q.ends.empty()) return q.stopping ? Next(nullptr) : Next();
        Next next = std::move(q.ends.front());
        q.ends.pop_front();
        return next;
      });
      if (!end) return;
      const Status ended = caught([&] { end(); });
      if (!ended) log(LogLevel::kError, "an end failed: " + ended.error().message);
    }
  }

  const SteadyClock clock_;
  Monitor<Queue> queue_;
  Threads threads_;
  const ExitEntry at_exit_{ExitEntry::Turn::kLast,
                           {.ask = [this] { queue_.change([](Queue& q) { q.stopping = true; }); },
                            .wait = [this](Instant end) { wait_until(end); }}};
};

}  // namespace

void Threads::start(std::function<void()> work) {
  state_->change([&](State& s) {
    s.threads.emplace_back([state = state_, work = std::move(work)]() mutable {
      this_thread_is_ours = true;
      const Status ended = caught([&] { work(); });
      if (!ended) log(LogLevel::kError, "a thread ended early: " + ended.error().message);
      work = nullptr;
      state->change([](State& all) { --all.alive; });
    });
    ++s.alive;
  });
}

void Threads::join() {
  auto threads = state_->with([](State& s) { return std::exchange(s.threads, {}); });
  for (std::thread& thread : threads) thread.join();
  // Those that join_until() left behind never end while a thread waits here: the process ends
  // first.
  state_->wait([](const State& s) { return s.alive == 0; });
}

bool Threads::join_until(const Clock& clock, Instant end) {
  const auto self = std::this_thread::get_id();
  int rest = 0;
  const bool ended = state_->wait_until(clock, end, [&](State& s) {
    rest = std::ranges::any_of(s.threads, [&](auto& t) { return t.get_id() == self; }) ? 1 : 0;
    return s.alive <= rest;
  });
  auto threads = state_->with([](State& s) { return std::exchange(s.threads, {}); });
  if (ended) {
    for (std::thread& thread : threads)
      if (thread.get_id() != self) thread.join();
    std::erase_if(threads, [](const std::thread& thread) { return !thread.joinable(); });
  }
  if (!threads.empty()) keep_for_ever(new auto(std::move(threads)));
  return ended && rest == 0;
}

bool may_join() { return !this_thread_is_ours; }

void end_where_it_may_join(std::function<void()> end) {
  if (may_join())
    end();
  else
    Ender::of_process().post(std::move(end));
}

}  // namespace choir
