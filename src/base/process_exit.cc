#include "base/process_exit.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"

namespace choir {
namespace {

std::atomic<ExitPhase> phase{ExitPhase::kNone};

// The C library's list of what runs at exit has a lock, which it does not open in the child of a
// fork: a child that was forked while another thread added to the list would wait for ever when it
// exits. So no process is forked in the middle of a registration of ours.
std::atomic<bool> registers{false};
void begin_registration() {
  while (registers.exchange(true)) registers.wait(true);
}
void end_registration() {
  registers = false;
  registers.notify_one();
}

}  // namespace

struct ExitEntry::Row {
  const Turn turn;
  const Calls calls;
};

class ExitList {
 public:
  using Row = std::shared_ptr<ExitEntry::Row>;

  static ExitList& of_process() {
    static ExitList* const list = new ExitList;  // outlives all static objects
    return *list;
  }

  // Registered with every entry: what is older than the youngest one is still there when all stop.
  void add(const Row& row) {
    state_.with([&](State& s) { s.rows.push_back(row); });
    watch();
  }

  static void watch() {
    static const int around_forks =
        ::pthread_atfork(begin_registration, end_registration, end_registration);
    (void)around_forks;
    begin_registration();
    (void)std::atexit([] { of_process().end_all(); });
    end_registration();
  }

  void remove(const Row& row) {
    if (::getpid() != pid_) return;  // the threads that made the calls are not in this process
    state_.wait([&](State& s) { return s.called != row; });
    state_.with([&](State& s) { std::erase(s.rows, row); });
  }

  void keep(const void* object) {
    if (::getpid() != pid_) return;  // a lock may have been held when it was forked
    state_.with([&](State& s) { s.kept.push_back(object); });
  }

 private:
  struct State {
    std::vector<Row> rows;  // the oldest first
    Row called;             // now; not removed meanwhile
    std::vector<const void*> kept;
    bool began = false;
  };

  void end_all() {
    if (::getpid() != pid_) {
      phase = ExitPhase::kOver;
      return;
    }
    if (!state_.change([](State& s) { return !std::exchange(s.began, true); })) {
      // Two threads exit at once: the second one waits, or comes again to the next registration.
      state_.wait([](State&) { return exit_phase() == ExitPhase::kOver; });
      return;
    }
    phase = ExitPhase::kStopping;
    const SteadyClock clock;
    const Instant end = clock.now() + kExitTime;
    std::vector<Row> rows = state_.with([](State& s) { return s.rows; });
    for (auto row = rows.rbegin(); row != rows.rend(); ++row)
      call(*row, [&] { (*row)->calls.ask(); });
    std::ranges::stable_sort(rows, {}, [](const Row& row) { return row->turn; });
    for (const Row& row : rows) call(row, [&] { row->calls.wait(end); });
    state_.change([](State&) { phase = ExitPhase::kOver; });
  }

  // Unless its owner is gone.
  template <class Call>
  void call(const Row& row, Call make) {
    const bool there = state_.with([&](State& s) {
      if (std::ranges::find(s.rows, row) == s.rows.end()) return false;
      s.called = row;
      return true;
    });
    if (!there) return;
    make();
    state_.change([](State& s) { s.called = nullptr; });
  }

  const pid_t pid_ = ::getpid();
  Monitor<State> state_;
};

ExitPhase exit_phase() { return phase.load(); }

ExitEntry::ExitEntry(Turn turn, Calls calls)
    : row_(std::make_shared<Row>(Row{turn, std::move(calls)})) {
  ExitList::of_process().add(row_);
}

ExitEntry::~ExitEntry() { ExitList::of_process().remove(row_); }

void watch_exit() { ExitList::watch(); }

void keep_for_ever(const void* object) { ExitList::of_process().keep(object); }

}  // namespace choir
