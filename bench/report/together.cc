#include "bench/report/together.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <thread>
#include <vector>

namespace choir::bench {

double best_of(int threads, int runs, const std::function<void(int)>& work) {
  using Clock = std::chrono::steady_clock;
  struct Times {
    Clock::time_point begin;
    Clock::time_point end;
  };
  std::vector<std::vector<Times>> times(static_cast<std::size_t>(threads));  // of each run
  std::barrier together(threads);
  std::vector<std::thread> working;
  working.reserve(times.size());
  for (int thread = 0; thread < threads; ++thread)
    working.emplace_back([&, thread] {
      for (int run = 0; run < runs; ++run) {
        together.arrive_and_wait();
        Times one;
        one.begin = Clock::now();
        work(thread);
        one.end = Clock::now();
        times[static_cast<std::size_t>(thread)].push_back(one);
      }
    });
  for (std::thread& one : working) one.join();
  double best = 1e9;
  for (std::size_t run = 0; run < static_cast<std::size_t>(runs); ++run) {
    Times all = times[0][run];
    for (const auto& of_thread : times) {
      all.begin = std::min(all.begin, of_thread[run].begin);
      all.end = std::max(all.end, of_thread[run].end);
    }
    best = std::min(best, std::chrono::duration<double>(all.end - all.begin).count());
  }
  return best;
}

}  // namespace choir::bench
