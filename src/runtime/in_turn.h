// Jobs between two passes of an executor, from threads that have no turn.
#pragma once

#include <exception>
#include <future>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "base/patience.h"
#include "choir/result.h"
#include "runtime/executor.h"
#include "runtime/lanes.h"

namespace choir {

// Runs job(Executor&) between two passes; does not block. The future is not valid where the
// executor has left memory. A job that was taken is run: by the next turn, or by the thread that
// takes the executor from the lanes.
template <class Job>
auto post_in_turn(Lanes& lanes, Executor& executor, Job job)
    -> std::future<std::invoke_result_t<Job, Executor&>> {
  using Value = std::invoke_result_t<Job, Executor&>;
  auto promise = std::make_shared<std::promise<Value>>();
  auto future = promise->get_future();
  const bool posted = executor.post_job([promise, job = std::move(job)](Executor& e) mutable {
    try {
      promise->set_value(job(e));
    } catch (...) {  // the caller's and the executor's
      promise->set_exception(std::current_exception());
      throw;
    }
  });
  if (!posted) return {};
  lanes.ready(executor.id(), Priority::kCritical);
  return future;
}

// The same, and waits for what it returns. kNotFound where the executor has left memory.
template <class Job>
auto in_turn(Lanes& lanes, Executor& executor, Job job)
    -> Result<std::invoke_result_t<Job, Executor&>> {
  auto future = post_in_turn(lanes, executor, std::move(job));
  if (!future.valid())
    return fail(Code::kNotFound, "executor '" + executor.name() + "' is not in memory any more");
  return patient_get(future);
}

}  // namespace choir
