#include "runtime/embedding_queue.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>

namespace choir {

Error EmbeddingQueue::late(Nanos had) {
  return {Code::kDeadlineExceeded, "deadline exceeded: the embedding had " +
                                       std::to_string(had / std::chrono::milliseconds(1)) + " ms"};
}

EmbeddingQueue::~EmbeddingQueue() {
  came_.close();
  cancel();
}

// Those that wait here count too: a suspended executor takes no more than others do.
bool EmbeddingQueue::post(Job job) {
  if (count_.fetch_add(1) < facts_.rules().mailbox_max && came_.post(std::move(job))) return true;
  --count_;
  return false;
}

void EmbeddingQueue::look(Instant now) {
  std::vector<Job> came;
  came_.take_all(came);
  std::ranges::move(came, std::back_inserter(queue_));
  std::erase_if(queue_, [&](Job& job) {
    const bool is_late = job.deadline != Instant{} && now >= job.deadline;
    if (is_late) end(job, tl::unexpected(late(job.deadline - job.submitted)));
    return is_late;
  });
}

void EmbeddingQueue::compute_one(Engine& engine, Pool& pool) {
  if (count_.load() == 0) return;
  look(facts_.clock().now());
  if (queue_.empty() || facts_.suspended()) return;
  Job job = std::move(queue_.front());
  queue_.pop_front();
  AbortSignal out_of_time(facts_.clock());
  out_of_time.set_deadline(job.deadline);
  const Instant began = facts_.clock().now();
  engine.attach(pool);
  auto vector = engine.embed(job.tokens, out_of_time);
  engine.detach();
  if (!vector && out_of_time.stop()) vector = tl::unexpected(late(job.deadline - job.submitted));
  if (vector && !std::ranges::all_of(*vector, [](float x) { return std::isfinite(x); }))
    vector = fail(Code::kEngineFailed, "model '" + facts_.model().info().name + "' in '" +
                                           facts_.name() +
                                           "' computed an embedding of numbers that are not "
                                           "finite; its file may be damaged");
  ExecutorStats& stats = facts_.counters();
  stats.steps.fetch_add(1, std::memory_order_relaxed);
  stats.prompt_tokens.fetch_add(job.tokens.size(), std::memory_order_relaxed);
  if (vector) tell(job.tokens.size(), began);
  end(job, std::move(vector));
}

void EmbeddingQueue::end(Job& job, Result<std::vector<float>> vector) {
  ExecutorStats& stats = facts_.counters();
  stats.requests_done.fetch_add(1, std::memory_order_relaxed);
  if (!vector) stats.requests_failed.fetch_add(1, std::memory_order_relaxed);
  --count_;
  job.promise->set_value(std::move(vector));
}

void EmbeddingQueue::tell(std::size_t tokens, Instant began) const {
  const Observing* observing = facts_.rules().observing;
  if (observing == nullptr) return;
  StepDone step{.executor = facts_.name(),
                .seconds = to_seconds(facts_.clock().now() - began),
                .prompt_tokens = static_cast<std::int32_t>(tokens)};
  step.rows.at(static_cast<std::size_t>(facts_.settings().priority)) = 1;
  observing->tell([&](Observer& observer) { observer.on_step(step); });
}

std::vector<EmbeddingQueue::Job> EmbeddingQueue::take_all() {
  std::vector<Job> jobs;
  came_.take_all(jobs);
  std::ranges::move(queue_, std::back_inserter(jobs));
  queue_.clear();
  count_ -= jobs.size();
  return jobs;
}

void EmbeddingQueue::cancel() {
  look(facts_.clock().now());
  for (Job& job : queue_)
    end(job, fail(Code::kCancelled, "executor '" + facts_.name() + "' was removed"));
  queue_.clear();
}

void EmbeddingQueue::add_to(TurnResult& result) const {
  for (const Job& job : queue_)
    if (job.deadline != Instant{}) result.add_alarm(job.deadline);
  if (!queue_.empty() && !facts_.suspended()) result.add_work(facts_.settings().priority);
}

}  // namespace choir
