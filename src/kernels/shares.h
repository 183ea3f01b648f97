// How the threads of a graph share out an operation: each has a share of its own, and what is left
// is taken by those that are free, in shares that get smaller. So they end together though one core
// is slower than another, or does something else as well.
#pragma once

#include <atomic>
#include <cstdint>

struct ggml_compute_params;

namespace choir::kernels {

class Shares {
 public:
  struct Part {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    bool empty() const { return begin == end; }
    bool operator==(const Part&) const = default;
  };
  // total: what is shared out, such as groups. No share but the last is smaller than `least`; each
  // thread has an equal one where there would be few of those.
  Shares(std::int64_t total, std::int64_t least, int threads);
  // Share `index`; empty behind the last one. Of one object the indices that are asked for ascend.
  Part part(std::int64_t index);
  // Whether no thread takes a share after this one.
  bool is_last(Part part) const { return equal_ || part.end == total_; }

 private:
  std::int64_t size() const;

  std::int64_t total_;
  std::int64_t least_;
  int threads_;
  std::int64_t first_ = 0;  // size of each thread's first share
  bool equal_ = false;
  std::int64_t index_ = 0;
  std::int64_t begin_ = 0;
};

// The smallest share of pieces that have so many products each.
std::int64_t least_share(std::int64_t products_each);

// Thread `ith` begins with share `ith`, and take() gives it the index of each further one, from the
// number of threads on. Calls work(share, next) for each; next is the share after it, or empty. It
// is taken early because weights are fetched ahead.
template <class Take, class Work>
void take_shares(Shares shares, int ith, const Take& take, const Work& work) {
  for (Shares::Part part = shares.part(ith); !part.empty();) {
    const Shares::Part next = shares.is_last(part) ? Shares::Part() : shares.part(take());
    work(part, next);
    part = next;
  }
}

// All threads: none begins before all are here; the counter of the pool, from which they then take
// shares, is at its start.
void meet(const ggml_compute_params& params);
// The index of a thread's next share: of the counter of the pool; of one that counts the shares
// taken beside the first of each thread, and is 0 before any thread is here.
std::int64_t take_of_pool(const ggml_compute_params& params);
std::int64_t take_of(std::atomic<std::int64_t>& taken, const ggml_compute_params& params);

}  // namespace choir::kernels
