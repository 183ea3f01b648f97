// Texts that an executor of an encoder has to embed, each alone in a pass of its own.
//
// Owned by an executor. Any thread posts; whoever has the turn does the rest. As many wait as the
// executor's mailbox takes, whether it is suspended or not.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <future>
#include <memory>
#include <vector>

#include "base/guarded.h"
#include "choir/result.h"
#include "engine/engine.h"
#include "runtime/executor_facts.h"
#include "runtime/turn_result.h"

namespace choir {

class EmbeddingQueue {
 public:
  struct Job {
    std::vector<TokenId> tokens;
    std::shared_ptr<std::promise<Result<std::vector<float>>>> promise;
    Instant submitted;
    Instant deadline;  // Instant{}: none; one whose deadline has passed is not computed
  };

  explicit EmbeddingQueue(const ExecutorFacts& facts)
      : facts_(facts), came_(facts.rules().mailbox_max) {}
  EmbeddingQueue(const EmbeddingQueue&) = delete;
  EmbeddingQueue& operator=(const EmbeddingQueue&) = delete;
  // Those that were not computed end as cancelled.
  ~EmbeddingQueue();

  // Any thread. False when it is full.
  bool post(Job job);
  static Error late(Nanos had);

  // Whoever has the turn:
  void compute_one(Engine& engine, Pool& pool);
  // All of them, for another executor.
  std::vector<Job> take_all();
  void cancel();
  bool empty() const { return queue_.empty() && came_.empty(); }
  // When a next turn is needed, and for which class.
  void add_to(TurnResult& result) const;

 private:
  // Takes the mail, and ends those whose time is up.
  void look(Instant now);
  void end(Job& job, Result<std::vector<float>> vector);
  void tell(std::size_t tokens, Instant began) const;

  const ExecutorFacts& facts_;
  Mailbox<Job> came_;
  std::atomic<std::size_t> count_{0};  // posted and not yet told their end
  std::deque<Job> queue_;
};

}  // namespace choir
