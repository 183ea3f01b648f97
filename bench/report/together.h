// Work that all threads of a benchmark do at once.
#pragma once

#include <functional>

namespace choir::bench {

// Seconds from the begin of the first thread to the end of the last, in which all did work(thread).
// Each thread takes its own times: where all cores compute, one that only waits for them is late.
double together(int threads, const std::function<void(int)>& work);
// Those of the best of some runs.
double best_of(int threads, int runs, const std::function<void(int)>& work);

}  // namespace choir::bench
