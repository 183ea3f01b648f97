// A lane's compute threads: one ggml thread pool.
#pragma once

#include <ggml-cpu.h>
#include <ggml.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/llama_handles.h"

namespace choir {

class LlamaPool final : public Pool {
 public:
  // Starts cpus.size() - 1 threads, each pinned to one cpu, and pins the caller to the last one.
  explicit LlamaPool(std::span<const int> cpus) : LlamaPool(cpus, cpus.size()) {}

  int threads() const override { return threads_; }
  Pool& narrowed(int threads) override;
  // On the same threads as the forward passes: a graph of one custom operation.
  void for_each(int count, const std::function<void(int, int)>& work) override;

  ggml_threadpool* handle() const { return pool_.get(); }
  // Moves the calling thread to its own cpu of this pool. ggml does so only when it makes or
  // resumes a pool; a thread that comes from another one would stay there, on a core that a worker
  // of this pool has.
  void enter() const;

 private:
  // With fewer threads than cpus the kernel chooses among them.
  LlamaPool(std::span<const int> cpus, std::size_t threads);

  struct Task {
    const std::function<void(int, int)>* work = nullptr;
    int count = 0;
    std::atomic<int> next{0};
  };
  static void run_task(ggml_tensor* out, int thread, int threads, void* task);

  std::vector<int> cpus_;
  int threads_;
  std::span<const int> own_cpus_;  // of the thread that made the pool, into cpus_
  std::unique_ptr<ggml_threadpool, FreeWith<ggml_threadpool_free>> pool_;
  Task task_;
  std::unique_ptr<ggml_context, FreeWith<ggml_free>> graph_memory_;
  ggml_cgraph* graph_ = nullptr;
  ggml_cplan plan_{};
  std::vector<std::uint8_t> work_;
  std::map<int, std::unique_ptr<LlamaPool>> narrower_;  // by threads
};

}  // namespace choir
