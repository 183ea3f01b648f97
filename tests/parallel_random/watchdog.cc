#include "tests/parallel_random/watchdog.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace choir::parallel {
namespace {

constexpr std::chrono::seconds kPatience{60};

}  // namespace

Watchdog::Watchdog() : thread_([this] { loop(); }) {}

Watchdog::~Watchdog() {
  state_.change([](State& s) { s.stopping = true; });
  thread_.join();
}

void Watchdog::begin(std::uint64_t seed) {
  state_.with([&](State& s) {
    s.seed = seed;
    s.calls = {};
    s.next = {};
    ++s.steps;
  });
}

void Watchdog::step(std::size_t index, std::string call) {
  state_.with([&](State& s) {
    ++s.steps;
    s.calls.at(index).at(s.next.at(index)++ % kCalls) = std::move(call);
  });
}

void Watchdog::loop() {
  std::uint64_t seen = 0;
  for (;;) {
    const bool stopping = state_.wait_for(kPatience, [](const State& s) { return s.stopping; });
    if (stopping) return;
    state_.with([&](const State& s) {
      if (std::exchange(seen, s.steps) != s.steps) return;
      std::fprintf(stderr, "nothing has happened for a minute; CHOIR_RANDOM_SEED=%llu\n",
                   static_cast<unsigned long long>(s.seed));
      for (std::size_t thread = 0; thread < kThreads; ++thread)
        for (std::uint64_t i = 0; i < kCalls; ++i)
          if (const auto& call = s.calls[thread][(s.next[thread] + i) % kCalls]; !call.empty())
            std::fprintf(stderr, "  thread %zu: %s\n", thread, call.c_str());
      std::abort();
    });
  }
}

}  // namespace choir::parallel
