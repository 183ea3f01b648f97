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
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "choir/config.h"
#include "core/sequence.h"
#include "core/step_plan.h"
#include "engine/engine.h"
#include "engine/sampler.h"
#include "policy/release.h"
#include "policy/share.h"
#include "policy/spread.h"
#include "policy/step.h"
#include "policy/tenants.h"
#include "policy/thread_choice.h"
#include "runtime/class_counts.h"
#include "runtime/kept_states.h"
#include "runtime/live_sequence.h"
#include "runtime/node_rules.h"
#include "runtime/observing.h"
#include "runtime/prefix_cache.h"
#include "runtime/request_state.h"
#include "runtime/reuse_scopes.h"
#include "runtime/waiting.h"

namespace choir {

struct ExecutorRules {
  Nanos age_step = std::chrono::milliseconds(500);
  Nanos stalled = std::chrono::seconds(30);
  std::size_t stream_bytes_max = 64U << 10;
  std::size_t mailbox_max = 1024;
  bool adapt_threads = true;
  std::shared_ptr<NodeRules> node = std::make_shared<NodeRules>();
  const Observing* observing = nullptr;  // outlives the executor; null: nobody is told
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
  std::atomic<std::uint64_t> reused_tokens{0};
  std::atomic<std::int32_t> cells{0};               // held by sequences and kept conversations
  std::atomic<std::int32_t> cached_cells{0};        // of ended requests; in nobody's way
  std::atomic<double> seconds_per_prompt_token{0};  // as measured; 0: not known yet
  std::atomic<double> seconds_per_output_token{0};
  std::atomic<std::int32_t> threads{0};  // of its last pass
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

  Executor(ExecutorId id, const ExecutorConfig& config, std::shared_ptr<const Model> model,
           std::unique_ptr<Engine> engine, const ExecutorRules& rules, const Clock& clock,
           Notify notify, std::shared_ptr<ExecutorStats> stats = std::make_shared<ExecutorStats>());
  // Embeddings that were not computed end as cancelled. Needs: no request of its own is active.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  ExecutorId id() const { return id_; }
  const std::string& name() const { return name_; }
  ExecutorConfig config() const {
    return config_.with([](const ExecutorConfig& c) { return c; });
  }
  const Model& model() const { return *model_; }
  const std::shared_ptr<const Model>& shared_model() const { return model_; }
  ExecutorBytes bytes() const {
    return bytes_.with([](const ExecutorBytes& b) { return b; });
  }
  // The longest a single sequence can get: its cells, its configured most, and what the model was
  // trained for.
  std::int32_t sequence_tokens_max() const { return sequence_tokens_max_.load(); }
  const ExecutorStats& stats() const { return *stats_; }
  bool suspended() const { return suspended_.load(); }
  bool holds(ConversationKey key) const { return kept_.holds(key); }
  std::int32_t kept() const { return kept_.count(); }
  // Sequences that steps do not look at, and those of them that wait for room. Between turns; for
  // tests and benchmarks.
  std::int32_t resting() const { return waiting_.size(); }
  std::int32_t queued() const { return waiting_.queued(); }
  // Whether the totals that are kept from step to step are what counting again gives. Between
  // turns; for tests.
  bool books_balance() const;

  // A new sequence. Its KV state is kept under `conversation` when it ends, and taken from there
  // now, or from `kv`, as far as the tokens agree. One without tokens waits for provide(). False
  // when the mailbox is full or closed.
  struct Mail {
    Sequence sequence;
    std::shared_ptr<RequestState> request;
    ConversationKey conversation;
    KvState kv;
    bool gated = false;  // does not compute before open_gate()
  };
  bool post(Mail mail);
  // A text to embed, computed alone in a turn of its own. False when it is closed, or as many as
  // the mailbox takes are waiting. One whose deadline has passed is not computed.
  struct EmbedJob {
    std::vector<TokenId> tokens;
    std::shared_ptr<std::promise<Result<std::vector<float>>>> promise;
    Instant submitted;
    Instant deadline;  // Instant{}: none
  };
  bool post_embedding(EmbedJob job);
  static Error embedding_late(Nanos had);

  // Something to do between two passes, by whoever has the turn; it may call what is below under
  // "in a job". False when the executor takes no more (removed).
  using Job = std::function<void(Executor&)>;
  bool post_job(Job job) { return jobs_.post(std::move(job)); }
  // No job is taken any more; those that came run here. Needs: no lane has it.
  void close_jobs();

  // From the next pass on. Any thread.
  void suspend() { suspended_.store(true); }
  void resume() { suspended_.store(false); }

  // In a job:
  // The settings of `config` (runtime/config_parts.h), from the next pass on.
  void update(const ExecutorConfig& config);
  // The tokens of a request that was posted without, or the reason why it has none.
  void provide(RequestId request, Result<std::vector<TokenId>> tokens, KvState kv);
  void open_gate(std::span<const RequestId> requests);
  // Swaps the engine, with all sequences and kept states, and takes the sizes of `config`;
  // `engine` is the old one afterwards.
  // kInvalidArgument, and nothing happens, where a sequence is longer already than the new one
  // takes.
  Status swap_engine(std::unique_ptr<Engine>& engine, const ExecutorConfig& config);
  // Takes everything out, for adopt() in another executor of the same model file.
  struct Belongings {
    std::vector<std::unique_ptr<LiveSequence>> live;  // KV parked
    std::map<ConversationKey, KvState> kept;
  };
  Belongings extract();
  std::vector<EmbedJob> take_embeddings();  // for another executor
  void cancel_embeddings();
  // How long its queue is, and sequences out of it: not begun, of no conversation, newest first,
  // and short enough for an executor that takes `longest` tokens.
  QueueView queue();
  std::vector<std::unique_ptr<LiveSequence>> give_up(std::int32_t count, std::int32_t longest);
  void adopt(Belongings belongings);
  std::optional<KvState> copy_kept(ConversationKey key) { return kept_.copy(key, *engine_); }
  void forget_kept(ConversationKey key) { kept_.forget(key, *engine_, park_); }
  void keep_only(const std::set<ConversationKey>& keys);
  void forget_cached();

  // After request->cancelled was set: ends a pass in which its prompt is computed, and the next
  // turn ends the request.
  void interrupt(RequestId request);
  // Its reader has caught up: the next turn looks at it.
  void look_at(RequestId request);
  // A CRITICAL arrival wants the cores: ends a pass of this turn that computes prompts, whether it
  // has begun or not, but never two in a row.
  void preempt();

  // One step. `contended`: another executor waits for this lane.
  TurnResult turn(Pool& pool, bool contended);

  // Every live sequence as its value, deadlines counted down to now. Between turns.
  std::vector<std::string> serialize_live() const;
  bool has_work() const {
    return !live_.empty() || !mailbox_.empty() || !embed_queue_.empty() || !embed_jobs_.empty() ||
           !jobs_.empty();
  }

 private:
  // What other threads may know about the pass that is running.
  struct Pass {
    std::vector<RequestId> prefilling;
    bool immune =
        false;  // the last one was aborted by preempt(): this one is short and runs to its end
    bool preempted = false;
  };

  static std::int32_t longest_sequence(const ExecutorConfig& config, const EngineConfig& engine,
                                       const ModelInfo& model);
  void run_jobs();
  void accept_mail(Instant now);
  void accept(Mail mail, Instant now);
  void insert(std::unique_ptr<LiveSequence> live);
  // Its class, tenant and reuse scope do not count it any more.
  void leave_groups(LiveSequence& live);
  void reuse(LiveSequence& live, KvState kv);
  // Whether others have clearly more in common with it than `same` tokens.
  bool better_elsewhere(const LiveSequence& live, std::int32_t same);
  void count_reused(LiveSequence& live);
  void embed_one(Pool& pool);
  void queue_embeddings(Instant now);
  void end_embedding(EmbedJob& job, Result<std::vector<float>> vector);
  // And whether anybody reads while it is written, so that he may be slow.
  enum class Readers : std::uint8_t { kNone, kSome };
  Readers end_the_ended(Instant now);
  void hold_back_slow_readers(Instant now);
  // Which sequences may compute in this turn.
  void release(Instant now);
  void release_fresh(Instant now);
  void make_views();
  SeqView view(const LiveSequence& live) const;
  // Rests: until something concerns it, steps do not see it.
  bool may_wait_for_room(const LiveSequence& live) const;
  void put_to_rest();
  void keep_awake(LiveSequence& live);
  void wake(LiveSequence& live);
  void wake_all();
  void find_awake();
  void list_awake_ids();  // of awake_, after some have left it
  void wake_who_is_due(Instant now);
  // Rows of those in the queue that the plan may start; the plan is the same without the others.
  void add_candidates();
  void wake_who_starts();
  // The class it has now: with what waiting has earned it, and where classes count at all.
  Priority class_of(const LiveSequence& live) const {
    return rules_.node->classes.load() ? live.lifted : Priority::kNormal;
  }
  // Of sequences and conversations: as far as plans are concerned, what is cached is free.
  KvUse use() const { return held_.use() + kept_.use(); }
  // Kept conversations leave the cells that those with work want; then those that may not compute.
  void make_room();
  StepLimits limits(int threads, bool contended) const;
  // Cached states leave as many cells and slots as are to be taken now.
  void evict_cached(KvUse need, SeqId spared = {});
  // After a pass that failed, which may have taken the cells of anybody.
  void forget_lost();
  KvUse need_of_plan() const;
  // Gives sequences that the plan starts the cells of others that begin the same, and takes those
  // out that had better wait for such cells. True when that changes the plan.
  enum class MayWait : std::uint8_t { kYes, kNo };
  bool share_fronts(MayWait may_wait);
  void stand_forward();
  // Who has cells or gets some in this pass, into sources_; who begins in it is not there yet.
  void find_sources(std::span<const Slice> slices);
  FrontChoice choose(const LiveSequence& live, std::int32_t slice_tokens, MayWait may_wait) const;
  std::int32_t take_front(LiveSequence& live, SeqId from, std::int32_t tokens);
  // Turns slices of parked sequences into restored KV; true when the plan is worth another look.
  bool restore_parked();
  enum class Budget : std::uint8_t { kHeed, kIgnore };
  void park(LiveSequence& live, Budget budget = Budget::kHeed);
  void drop_parked(LiveSequence& live);
  // At its end: what it computed is its conversation's, or nobody's.
  void leave_kv(LiveSequence& live, Finish finish, Instant now);
  // Before a pass: what it will generate takes nothing from the heap in later ones.
  void reserve(LiveSequence& live) const;
  void begin_pass();
  void cut_short(Pass& pass);
  // The plan's pass and its rows, on as many of the lane's threads as are best for it.
  void compute(Pool& lane);
  bool run_pass(Pool& pool);
  void count_pass(int threads, Instant began, Instant ended);
  void count_tenants();
  // To the observer, where there is one.
  void tell_step(Instant began) const;
  void tell_embedding(std::size_t tokens, Instant began) const;
  // `began`: the pass whose logits these are.
  void sample_rows(Pool& pool, Instant began);
  void take_token(LiveSequence& live, TokenId token, Instant now);
  void fail_without_token(LiveSequence& live, Instant now);
  void finish(LiveSequence& live, Finish finish, std::optional<Error> error, Instant now);
  void erase_finished();
  TurnResult result(Instant began);
  // One that is awake.
  LiveSequence& live(SeqId id) { return *awake_[index_of(id, 0)]; }
  // Where it is in awake_; `guess` is where it probably is.
  std::size_t index_of(SeqId id, std::size_t guess) const;

  const ExecutorId id_;
  const std::string name_;
  Guarded<ExecutorConfig> config_;
  const std::shared_ptr<const Model> model_;
  const std::span<const TokenId> end_tokens_;  // the model's
  std::unique_ptr<Engine> engine_;             // the turn's owner's
  Guarded<ExecutorBytes> bytes_;
  std::atomic<std::int32_t> sequence_tokens_max_;
  std::atomic<bool> suspended_{false};
  const ExecutorRules rules_;
  const Clock& clock_;
  const Notify notify_;
  const std::shared_ptr<ExecutorStats> stats_;
  Mailbox<Mail> mailbox_;
  Mailbox<EmbedJob> embed_jobs_;
  Mailbox<Job> jobs_;
  Guarded<Pass> pass_;
  AbortSignal abort_;
  std::atomic<bool> cut_asked_{false};        // preempt() was called since the last turn ended
  std::atomic<std::int32_t> urgent_mail_{0};  // of class CRITICAL, posted and not yet accepted

  ReuseScopes scopes_;                               // of live_, kept_ and cache_
  std::vector<std::unique_ptr<LiveSequence>> live_;  // by id
  // Those that steps walk through, by id; the others are in waiting_.
  std::vector<LiveSequence*> awake_;
  std::vector<SeqId> awake_ids_;  // the same order, for searching
  Waiting waiting_;
  bool queue_open_ = true;  // who waits for room may begin in this turn
  std::atomic<bool> looks_asked_{false};
  Guarded<std::vector<RequestId>> looks_;     // to be looked at in the next turn
  ClassCounts of_class_;                      // of live_
  Priority best_seen_ = Priority::kCritical;  // of of_class_ at the last release
  Tenants tenants_;                           // of live_
  KvLedger held_;                             // by live_
  KeptStates kept_;
  PrefixCache cache_;
  ParkBudget park_;
  Batching batching_;                      // as in config_
  bool prefix_cache_;                      // as in config_
  Priority priority_;                      // as in config_
  std::int32_t parked_ = 0;                // sequences with KV state aside
  std::vector<double> seconds_per_token_;  // of prompts, by number of threads
  ThreadChoice thread_choice_;
  std::optional<Instant> release_at_;  // when waiting sequences may begin though nothing changes
  bool some_ended_ = false;            // in this turn: others may now begin
  std::int32_t to_erase_ = 0;          // of live_, those that have ended

  std::atomic<std::size_t> embeddings_{0};  // posted and not yet told their end
  std::deque<EmbedJob> embed_queue_;

  // Reused from step to step.
  std::vector<Mail> mail_;
  std::vector<Job> job_list_;
  std::vector<WaitView> waits_;
  std::vector<SeqView> views_;
  struct Wanted {  // by views_
    std::int32_t cells = 0;
    std::int32_t slots = 0;
    std::int32_t decodes = 0;               // rows that hold cells and lack one token
    std::int32_t awake_cells = 0;           // without those that rest
    Priority best_prompt = Priority::kLow;  // of rows that are no decodes
    Priority worst_holder = Priority::kCritical;
  };
  Wanted wanted_;
  StepScratch step_scratch_;
  StepPlan plan_;
  std::vector<LiveSequence*> candidates_;  // in views_, and they rest
  std::vector<LiveSequence*> to_rest_;
  bool woken_for_plan_ = false;  // candidates have begun in this turn
  std::vector<FrontSource> sources_;
  std::vector<LiveSequence*> standing_back_;  // in this turn
  std::vector<LiveSequence*> slice_live_;     // of plan_.slices
  std::vector<LiveSequence*> prompts_;        // of those, with more than one token
  std::vector<std::span<const TokenId>> slice_tokens_;
  struct Row {
    LiveSequence* live = nullptr;
    std::size_t slice = 0;
    std::optional<TokenId> token;
  };
  std::vector<Row> rows_;
  std::vector<SamplerScratch> sampler_scratch_;  // by thread
  std::function<void(int, int)> sample_row_;
};

}  // namespace choir
