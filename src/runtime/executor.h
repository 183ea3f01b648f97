// One executor: a state machine that a lane runs for one turn at a time. turn() never waits;
// between turns the executor holds no thread.
//
// What it does in a turn is done by its parts, each with a header of its own, in this order:
//   ExecutorInbox   mail and jobs from other threads
//   Answers         cancels, deadlines, slow readers
//   ReleaseGate     which sequences may compute
//   StepPlanner     what the pass computes; FrontSharing and ExecutorMemory make it possible
//   PassRunner      the pass, which other threads may cut short through PassControl
//   EmbeddingQueue  in an encoder's executor: a pass over texts to embed
// They share ExecutorFacts (its base, for any thread), LiveSet and ExecutorMemory.
//
// Threads: post(), post_all(), post_job(), interrupt(), look_at(), preempt(), embeddings().post(),
// cell_looks() and what ExecutorFacts says from any; the rest from the thread that has the turn.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "policy/spread.h"
#include "runtime/answers.h"
#include "runtime/cell_looks.h"
#include "runtime/embedding_queue.h"
#include "runtime/executor_facts.h"
#include "runtime/executor_inbox.h"
#include "runtime/executor_memory.h"
#include "runtime/front_sharing.h"
#include "runtime/live_set.h"
#include "runtime/pass_control.h"
#include "runtime/pass_runner.h"
#include "runtime/pass_speeds.h"
#include "runtime/release_gate.h"
#include "runtime/step_planner.h"
#include "runtime/turn_result.h"

namespace choir {

// Functions: a third of them hand a call to the part that it is for.
class Executor : public ExecutorFacts {
 public:
  using Notify = Answers::Notify;
  using Mail = ExecutorMail;
  using Job = ExecutorInbox::Job;

  // Needs, at its end: no request of its own is active.
  Executor(ExecutorId id, const ExecutorConfig& config, std::shared_ptr<const Model> model,
           std::unique_ptr<Engine> engine, const ExecutorRules& rules, const Clock& clock,
           Notify notify, std::shared_ptr<ExecutorStats> stats = std::make_shared<ExecutorStats>());

  // Any thread. False when the mailbox is full.
  bool post(Mail mail);
  // One that was accepted already: it is taken though the mailbox is full, as when it has come with
  // its executor from a node with a longer queue.
  bool post_accepted(Mail mail);
  // All, or none and they stay as they are.
  bool post_all(std::span<Mail> mail);
  // Something to do between two passes, by the thread that has the turn; it may call what is below
  // under "in a job". False when the executor takes no more (removed).
  bool post_job(Job job) { return inbox_.post_job(std::move(job)); }
  // After request->cancelled was set: ends a pass in which its prompt is computed, and the next
  // turn ends the request.
  void interrupt(RequestId request);
  // Its reader has caught up: the next turn looks at it.
  void look_at(RequestId request) { inbox_.look_at(request); }
  // A CRITICAL arrival wants the cores: ends a pass of this turn that computes prompts, whether it
  // has begun or not, but never two in a row.
  void preempt() { control_.preempt(); }
  // Of conversations; holds() and count() from any thread.
  const KeptStates& kept() const { return memory_.kept(); }
  EmbeddingQueue& embeddings() { return embeddings_; }
  CellLooks& cell_looks() { return cell_looks_; }

  // One step. `contended`: another executor waits for this lane.
  // What is thrown in it ends all requests of the executor, and its engine holds nothing then.
  TurnResult turn(Pool& pool, bool contended);
  // In place of a turn that cannot begin: all its requests end with this error.
  TurnResult fail_turn(const Error& why);
  bool has_work() const { return !live_.empty() || !inbox_.empty() || !embeddings_.empty(); }
  // No job is taken any more; those that came run here. Needs: no lane has it.
  void close_jobs();
  // Jobs are taken again.
  void open_jobs() { inbox_.open_jobs(); }

  // In a job:
  // The settings of `config` (runtime/config_parts.h), from the next pass on.
  void update(const ExecutorConfig& config);
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
    EmbeddingQueue::Requests embeddings;
  };
  Belongings extract();
  void adopt(Belongings belongings);
  // How long its queue is, and sequences out of it: not begun, of no conversation, newest first,
  // and short enough for an executor that takes `longest` tokens.
  QueueView queue();
  std::vector<std::unique_ptr<LiveSequence>> give_up(std::int32_t count, std::int32_t longest);
  ExecutorMemory& memory() { return memory_; }
  // Into cell_looks().
  void look_at_cells();

  // Between turns:
  // Every live sequence as its value, deadlines counted down to now.
  std::vector<std::string> serialize_live() const;
  const LiveSet& live() const { return live_; }
  // For tests: whether the totals that are kept from step to step are what counting again gives.
  bool books_balance() const;

 private:
  Result<TurnResult> step(Pool& pool, bool contended);
  void run_jobs();
  void accept_mail(Instant now);
  void accept(Mail mail, Instant now);
  TurnResult fail_all(const Error& why);
  bool end_all(const Error& why);
  void insert(std::unique_ptr<LiveSequence> live);
  TurnResult result(Instant began);

  ExecutorInbox inbox_;
  PassControl control_;
  ExecutorMemory memory_;
  LiveSet live_;
  PassSpeeds speeds_;
  FrontSharing sharing_;
  Answers answers_;
  ReleaseGate gate_;
  StepPlanner planner_;
  PassRunner runner_;
  EmbeddingQueue embeddings_;
  CellLooks cell_looks_;
  // Something was thrown in the middle of a change: its books may be wrong.
  std::optional<Error> broken_;
};

}  // namespace choir
