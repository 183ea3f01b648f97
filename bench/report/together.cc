#include "bench/report/together.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <limits>
#include <thread>
#include <vector>

namespace choir::bench {

double together(int threads, const std::function<void(int)>& work) {
  using Clock = std::chrono::steady_clock;
  std::vector<Clock::time_point> begins(static_cast<std::size_t>(threads));
  std::vector<Clock::time_point> ends(begins.size());
  std::barrier all_there(threads);
  std::vector<std::thread> working;
  working.reserve(begins.size());
  for (int thread = 0; thread < threads; ++thread)
    working.emplace_back([&, thread] {
      all_there.arrive_and_wait();
      begins[static_cast<std::size_t>(thread)] = Clock::now();
      work(thread);
      ends[static_cast<std::size_t>(thread)] = Clock::now();
    });
  for (std::thread& one : working) one.join();
  return std::chrono::duration<double>(*std::ranges::max_element(ends) -
                                       *std::ranges::min_element(begins))
      .count();
}

double best_of(int threads, int runs, const std::function<void(int)>& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int run = 0; run < runs; ++run) best = std::min(best, together(threads, work));
  return best;
}

}  // namespace choir::bench
