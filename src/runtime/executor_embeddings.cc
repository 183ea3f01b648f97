// Texts to embed, each alone in a pass of its own.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "runtime/executor.h"

namespace choir {

Error Executor::embedding_late(Nanos had) {
  return {Code::kDeadlineExceeded, "deadline exceeded: the embedding had " +
                                       std::to_string(had / std::chrono::milliseconds(1)) + " ms"};
}

// Those that wait here count too: a suspended executor takes no more than others do.
bool Executor::post_embedding(EmbedJob job) {
  if (embeddings_.fetch_add(1) < rules_.mailbox_max && embed_jobs_.post(std::move(job)))
    return true;
  --embeddings_;
  return false;
}

void Executor::queue_embeddings(Instant now) {
  std::vector<EmbedJob> came;
  embed_jobs_.take_all(came);
  std::ranges::move(came, std::back_inserter(embed_queue_));
  std::erase_if(embed_queue_, [&](EmbedJob& job) {
    const bool late = job.deadline != Instant{} && now >= job.deadline;
    if (late) end_embedding(job, tl::unexpected(embedding_late(job.deadline - job.submitted)));
    return late;
  });
}

void Executor::embed_one(Pool& pool) {
  if (embeddings_.load() == 0) return;
  queue_embeddings(clock_.now());
  if (embed_queue_.empty() || suspended()) return;
  EmbedJob job = std::move(embed_queue_.front());
  embed_queue_.pop_front();
  AbortSignal late(clock_);
  late.set_deadline(job.deadline);
  const Instant began = clock_.now();
  engine_->attach(pool);
  auto vector = engine_->embed(job.tokens, late);
  engine_->detach();
  if (!vector && late.stop()) vector = tl::unexpected(embedding_late(job.deadline - job.submitted));
  if (vector && !std::ranges::all_of(*vector, [](float x) { return std::isfinite(x); }))
    vector = fail(Code::kEngineFailed, "model '" + model_->info().name + "' in '" + name_ +
                                           "' computed an embedding of numbers that are not "
                                           "finite; its file may be damaged");
  stats_->steps.fetch_add(1, std::memory_order_relaxed);
  stats_->prompt_tokens.fetch_add(job.tokens.size(), std::memory_order_relaxed);
  if (vector) tell_embedding(job.tokens.size(), began);
  end_embedding(job, std::move(vector));
}

void Executor::end_embedding(EmbedJob& job, Result<std::vector<float>> vector) {
  stats_->requests_done.fetch_add(1, std::memory_order_relaxed);
  if (!vector) stats_->requests_failed.fetch_add(1, std::memory_order_relaxed);
  --embeddings_;
  job.promise->set_value(std::move(vector));
}

std::vector<Executor::EmbedJob> Executor::take_embeddings() {
  std::vector<EmbedJob> jobs;
  embed_jobs_.take_all(jobs);
  std::ranges::move(embed_queue_, std::back_inserter(jobs));
  embed_queue_.clear();
  embeddings_ -= jobs.size();
  return jobs;
}

void Executor::cancel_embeddings() {
  queue_embeddings(clock_.now());
  for (EmbedJob& job : embed_queue_)
    end_embedding(job, fail(Code::kCancelled, "executor '" + name_ + "' was removed"));
  embed_queue_.clear();
}

}  // namespace choir
