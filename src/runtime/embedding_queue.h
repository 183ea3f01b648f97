// The requests of an encoder's executor: texts to embed, as many in one pass as it takes.
//
// A pass takes texts of the best class first (with what waiting has earned it), then in the order
// in which their requests came, and mixes those of several requests. A text is computed whole or
// not at all. A cancel, a deadline or an arrival of class CRITICAL cuts a pass short; its texts are
// computed again. One text that the engine refuses fails its own request only.
//
// Owned by an executor. Any thread posts; the thread that has the turn does the rest.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/guarded.h"
#include "choir/result.h"
#include "engine/engine.h"
#include "runtime/executor_facts.h"
#include "runtime/pass_control.h"
#include "runtime/pass_speeds.h"
#include "runtime/request_state.h"
#include "runtime/turn_result.h"

namespace choir {

class EmbeddingQueue {
 public:
  using Requests = std::vector<std::shared_ptr<RequestState>>;
  // As Answers::Notify.
  using Notify = std::function<void(std::shared_ptr<RequestState>)>;

  EmbeddingQueue(const ExecutorFacts& facts, PassControl& control, PassSpeeds& speeds,
                 Notify notify)
      : facts_(facts),
        control_(control),
        speeds_(speeds),
        notify_(std::move(notify)),
        came_(facts.rules().mailbox_max) {}

  // Any thread. Needs: it has EmbedWork. False when the mailbox is full.
  bool post(std::shared_ptr<RequestState> request);
  // One that was accepted already: it is taken though the mailbox is full.
  bool post_accepted(std::shared_ptr<RequestState> request);

  // The thread that has the turn:
  // One pass; none while the executor is suspended. Ends what is cancelled or out of time in any
  // case.
  ComputedRows compute(Engine& engine, Pool& pool, bool contended);
  // All requests leave, for adopt() in another executor of the same model file. Texts that were
  // computed stay so.
  Requests take_all();
  void adopt(Requests requests);
  // All end with this error, also those that just came. False: not all were told; call it again.
  bool fail_all(const Error& why, Instant now);
  // Those of `requests` that wait for others may compute.
  void open_gate(std::span<const RequestId> requests);
  // Tokens of the longest text that is here.
  std::size_t longest();
  bool empty() const { return queue_.empty() && came_.empty(); }
  // When a next turn is needed, and for which class.
  void add_to(TurnResult& result) const;

 private:
  struct Entry {
    std::shared_ptr<RequestState> request;
    Instant last_progress;
    Priority lifted = Priority::kLow;   // as in LiveSequence
    std::optional<Instant> begun = {};  // its first pass
  };
  // A text of the pass.
  struct Row {
    Entry* entry = nullptr;
    std::size_t text = 0;
  };

  void take_mail(Instant now);
  void enter(std::shared_ptr<RequestState> request, Instant now);
  // Ends the cancelled and those whose time is up.
  void end_the_ended(Instant now);
  bool may_compute(const Entry& entry) const;
  // Those that may compute, best first.
  void order(Instant now);
  void plan(const EngineConfig& engine, int threads, bool contended);
  void run(Engine& engine, Pool& pool);
  void give(std::vector<std::vector<float>> vectors, Instant ended);
  void finish(const Entry& entry, Finish finish, std::optional<Error> error, Instant now);
  void erase_ended();
  void tell(std::int32_t tokens, Instant began) const;

  const ExecutorFacts& facts_;
  PassControl& control_;
  PassSpeeds& speeds_;
  const Notify notify_;
  Mailbox<std::shared_ptr<RequestState>> came_;
  std::vector<std::unique_ptr<Entry>> queue_;  // in order of arrival
  std::size_t alone_ = 0;  // so many passes take one text only: the last one was refused

  // Reused from pass to pass.
  Requests mail_;
  std::vector<Entry*> order_;
  std::vector<Row> rows_;
  std::vector<std::span<const TokenId>> texts_;
  std::vector<const RequestState*> requests_;
};

}  // namespace choir
