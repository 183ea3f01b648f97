#include "kernels/shares.h"

#include <ggml-cpu.h>

#include <algorithm>

#include "ggml-cpu-impl.h"  // the engine's own: what a thread of a graph knows

namespace choir::kernels {
namespace {

// The smallest share of a product that a thread takes: some 2 us, or 10 where weights come from
// memory. To take one costs some 0.1 us.
constexpr std::int64_t kShareProducts = 300'000;

}  // namespace

std::int64_t least_share(std::int64_t products_each) {
  return std::max<std::int64_t>(1, kShareProducts / std::max<std::int64_t>(1, products_each));
}

Shares::Shares(std::int64_t total, std::int64_t least, int threads)
    : total_(total), least_(least), threads_(threads) {
  // A thread at half the speed of the others is done with it when they would be with an equal part.
  first_ = std::max(least, total / 2 / threads);
  equal_ = threads == 1 || total - first_ * threads < least * threads;
}

std::int64_t Shares::size() const {
  const std::int64_t left = total_ - begin_;
  if (equal_) return std::min(left, total_ * (index_ + 1) / threads_ - total_ * index_ / threads_);
  if (index_ < threads_) return first_;
  return std::min(left, std::max(least_, left / (3 * threads_)));
}

Shares::Part Shares::part(std::int64_t index) {
  for (; index_ < index && begin_ < total_; ++index_) begin_ += size();
  return {begin_, begin_ + size()};
}

void meet(const ggml_compute_params& params) {
  if (params.nth == 1) return;
  if (params.ith == 0) ggml_threadpool_chunk_set(params.threadpool, params.nth);
  ggml_barrier(params.threadpool);
}

std::int64_t take_of_pool(const ggml_compute_params& params) {
  return ggml_threadpool_chunk_add(params.threadpool, 1);
}

std::int64_t take_of(std::atomic<std::int64_t>& taken, const ggml_compute_params& params) {
  return params.nth + taken.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace choir::kernels
