#include "engine/llama_pool.h"

#include <sched.h>

#include "base/check.h"

namespace choir {
namespace {

thread_local const LlamaPool* entered = nullptr;  // the pool whose cpu this thread is on

}  // namespace

LlamaPool::LlamaPool(std::span<const int> cpus, std::size_t threads)
    : cpus_(cpus.begin(), cpus.end()),
      threads_(static_cast<int>(threads)),
      own_cpus_(threads < cpus.size() ? std::span<const int>(cpus_)
                                      : std::span<const int>(cpus_).last(1)) {
  ggml_threadpool_params params = ggml_threadpool_params_default(threads_);
  params.poll = 0;  // a thread that polls takes a core from another lane
  // One thread per cpu of the mask; ggml hands them out in ascending order, the last to its maker.
  params.strict_cpu = threads == cpus.size();
  for (const int cpu : cpus_)
    if (cpu >= 0 && cpu < GGML_MAX_N_THREADS) params.cpumask[cpu] = true;
  pool_.reset(ggml_threadpool_new(&params));
  CHOIR_CHECK(pool_ != nullptr, "ggml makes a thread pool or aborts");

  const ggml_init_params memory = {
      .mem_size = ggml_tensor_overhead() * 2 + ggml_graph_overhead_custom(4, false),
      .mem_buffer = nullptr,
      .no_alloc = true};
  graph_memory_.reset(ggml_init(memory));
  ggml_tensor* node = ggml_custom_4d(graph_memory_.get(), GGML_TYPE_F32, 1, 1, 1, 1, nullptr, 0,
                                     run_task, GGML_N_TASKS_MAX, &task_);
  graph_ = ggml_new_graph_custom(graph_memory_.get(), 4, false);
  ggml_build_forward_expand(graph_, node);
  plan_ = ggml_graph_plan(graph_, threads_, pool_.get());
  work_.resize(plan_.work_size);
  plan_.work_data = work_.data();
  entered = nullptr;
}

void LlamaPool::enter() const {
  if (entered == this) return;
  entered = this;
  cpu_set_t own;
  CPU_ZERO(&own);
  for (const int cpu : own_cpus_) {
    if (cpu < 0) return;
    CPU_SET(cpu, &own);
  }
  (void)sched_setaffinity(0, sizeof(own), &own);
}

Pool& LlamaPool::narrowed(int threads) {
  CHOIR_CHECK(threads >= 1 && threads <= threads_, "a part of the pool");
  if (threads == threads_) return *this;
  std::unique_ptr<LlamaPool>& pool = narrower_[threads];
  // One thread goes wherever the kernel finds it most time: a program that takes a core need not
  // take ours. Several would at times be put on the same one, and wait for each other there.
  if (!pool)
    pool.reset(threads == 1
                   ? new LlamaPool(cpus_, 1)
                   : new LlamaPool(std::span(cpus_).last(static_cast<std::size_t>(threads))));
  return *pool;
}

void LlamaPool::run_task(ggml_tensor*, int thread, int, void* task) {
  auto& job = *static_cast<Task*>(task);
  for (int index = job.next.fetch_add(1); index < job.count; index = job.next.fetch_add(1))
    (*job.work)(index, thread);
}

void LlamaPool::for_each(int count, const std::function<void(int, int)>& work) {
  if (threads_ == 1 || count == 1) {  // waking the others costs more than it saves
    for (int index = 0; index < count; ++index) work(index, 0);
    return;
  }
  task_.work = &work;
  task_.count = count;
  task_.next.store(0);
  const ggml_status status = ggml_graph_compute(graph_, &plan_);
  CHOIR_CHECK(status == GGML_STATUS_SUCCESS, "a graph of one custom operation does not fail");
}

}  // namespace choir
