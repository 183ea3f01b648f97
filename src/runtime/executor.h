// One executor: a state machine that a lane runs for one turn at a time. turn() never waits;
// between turns the executor holds no thread.
//
// Threads: post(), interrupt(), preempt() and stats() from any; turn() and serialize_live() from
// whoever has the turn.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "choir/config.h"
#include "core/sequence.h"
#include "core/step_plan.h"
#include "engine/engine.h"
#include "engine/sampler.h"
#include "policy/step.h"
#include "runtime/live_sequence.h"
#include "runtime/request_state.h"

namespace choir {

// What the executors of a node know of each other's urgent work: how long a first token of class
// CRITICAL or HIGH computes. Any thread.
class UrgentPace {
 public:
  Nanos first_token() const { return Nanos{nanos_.load(std::memory_order_relaxed)}; }
  // A moving mean over some eight requests; two at once may lose one, which is no matter.
  void count(Nanos first_token) {
    const Nanos::rep old = nanos_.load(std::memory_order_relaxed);
    const Nanos::rep now = first_token.count();
    nanos_.store(old == 0 ? now : old + (now - old) / 8, std::memory_order_relaxed);
  }

 private:
  std::atomic<Nanos::rep> nanos_{0};
};

struct ExecutorRules {
  Nanos quantum = std::chrono::milliseconds(50);
  Nanos age_step = std::chrono::milliseconds(500);
  Nanos stalled = std::chrono::seconds(30);
  std::size_t stream_bytes_max = 64U << 10;
  std::size_t mailbox_max = 1024;
  std::shared_ptr<UrgentPace> urgent = std::make_shared<UrgentPace>();
};

// Counted by the turn's owner, read by anybody.
struct ExecutorStats {
  std::atomic<std::int32_t> running{0};
  std::atomic<std::int32_t> waiting{0};
  std::atomic<std::uint64_t> steps{0};
  std::atomic<std::uint64_t> prompt_tokens{0};
  std::atomic<std::uint64_t> output_tokens{0};
  std::atomic<std::uint64_t> requests_done{0};
  std::atomic<std::uint64_t> requests_failed{0};
  std::atomic<std::uint64_t> preemptions{0};
  std::atomic<std::uint64_t> aborts{0};
};

struct TurnResult {
  Nanos elapsed{0};
  std::optional<Priority> best;    // of what is left to do now; nullopt: nothing
  std::optional<Instant> wake_at;  // when it needs a turn even if no mail comes
};

class Executor {
 public:
  // `notify` is called for a request that has news for its caller; it must not block.
  using Notify = std::function<void(std::shared_ptr<RequestState>)>;

  Executor(ExecutorId id, ExecutorConfig config, std::shared_ptr<const Model> model,
           std::unique_ptr<Engine> engine, const ExecutorRules& rules, const Clock& clock,
           Notify notify);
  // Embeddings that were not computed end as cancelled. Needs: no request of its own is active.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  ExecutorId id() const { return id_; }
  const ExecutorConfig& config() const { return config_; }
  const Model& model() const { return *model_; }
  ExecutorBytes bytes() const { return bytes_; }
  // The longest a single sequence can get: its cells, and what the model was trained for.
  std::int32_t sequence_tokens_max() const { return sequence_tokens_max_; }
  const ExecutorStats& stats() const { return stats_; }

  // A new sequence, or one that ran elsewhere. False when the mailbox is full or closed.
  bool post(Sequence sequence, std::shared_ptr<RequestState> request);
  // A text to embed, computed alone in a turn of its own. False when the mailbox is full or closed.
  struct EmbedJob {
    std::vector<TokenId> tokens;
    std::shared_ptr<std::promise<Result<std::vector<float>>>> promise;
  };
  bool post_embedding(EmbedJob job) { return embed_jobs_.post(std::move(job)); }
  // After request->cancelled was set: ends a pass in which its prompt is computed.
  void interrupt(RequestId request);
  // A CRITICAL arrival wants the cores: ends a pass that computes prompts, but never two in a row.
  void preempt();

  // One step. `contended`: another executor waits for this lane.
  TurnResult turn(Pool& pool, bool contended);

  // Every live sequence as its value, deadlines counted down to now. Between turns.
  std::vector<std::string> serialize_live() const;
  bool has_work() const {
    return !live_.empty() || !mailbox_.empty() || !embed_queue_.empty() || !embed_jobs_.empty();
  }

 private:
  struct Mail {
    Sequence sequence;
    std::shared_ptr<RequestState> request;
  };
  // What other threads may know about the pass that is running.
  struct Pass {
    std::vector<RequestId> prefilling;
    bool immune =
        false;  // the last one was aborted by preempt(): this one is short and runs to its end
    bool preempted = false;
  };

  void accept_mail(Instant now);
  void embed_one(Pool& pool);
  void end_the_ended(Instant now);
  void hold_back_slow_readers(Instant now);
  void make_views(Instant now);
  StepLimits limits(int threads, bool contended) const;
  // Turns slices of parked sequences into restored KV; true when the plan is worth another look.
  bool restore_parked();
  void park(LiveSequence& live);
  void drop_parked(LiveSequence& live);
  void begin_pass();
  bool run_pass(Pool& pool);
  void count_pass(int threads, Instant began, Instant ended);
  void sample_rows(Pool& pool);
  void take_token(LiveSequence& live, TokenId token, Instant now);
  void finish(LiveSequence& live, Finish finish, std::optional<Error> error, Instant now);
  void erase_finished();
  TurnResult result(Instant began);
  LiveSequence& live(SeqId id);

  const ExecutorId id_;
  const ExecutorConfig config_;
  const std::shared_ptr<const Model> model_;
  const std::unique_ptr<Engine> engine_;
  const ExecutorBytes bytes_;
  const std::int32_t sequence_tokens_max_;
  const ExecutorRules rules_;
  const Clock& clock_;
  const Notify notify_;
  ExecutorStats stats_;
  Mailbox<Mail> mailbox_;
  Mailbox<EmbedJob> embed_jobs_;
  Guarded<Pass> pass_;
  AbortSignal abort_;

  std::vector<std::unique_ptr<LiveSequence>> live_;  // by id
  std::vector<SeqId> live_ids_;                      // the same order, for searching
  std::map<std::string, double> tenant_served_;      // tokens computed, of tenants with live work
  std::uint64_t parked_bytes_ = 0;
  std::int32_t parked_ = 0;                // sequences with KV state aside
  std::vector<double> seconds_per_token_;  // of prompts, by number of threads

  std::deque<EmbedJob> embed_queue_;

  // Reused from step to step.
  std::vector<Mail> mail_;
  std::vector<SeqView> views_;
  StepScratch step_scratch_;
  StepPlan plan_;
  std::vector<LiveSequence*> slice_live_;  // of plan_.slices
  std::vector<std::span<const TokenId>> slice_tokens_;
  struct Row {
    LiveSequence* live = nullptr;
    std::size_t slice = 0;
    TokenId token = 0;
  };
  std::vector<Row> rows_;
  std::vector<SamplerScratch> sampler_scratch_;  // by thread
  std::function<void(int, int)> sample_row_;
  std::string text_;
};

}  // namespace choir
