// What the sequences of an executor give their callers: text, token by token, and one end each,
// whatever it comes from.
//
// Owned by an executor and used by the thread that has its turn. Callers are told by the
// dispatcher, to which `notify` hands their requests.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "choir/request.h"
#include "choir/result.h"
#include "runtime/executor_facts.h"
#include "runtime/executor_memory.h"
#include "runtime/live_set.h"
#include "runtime/request_state.h"

namespace choir {

class Answers {
 public:
  // Called for a request that has news for its caller; must not block.
  using Notify = std::function<void(std::shared_ptr<RequestState>)>;

  Answers(const ExecutorFacts& facts, ExecutorMemory& memory, LiveSet& live, Notify notify)
      : facts_(facts),
        memory_(memory),
        live_(live),
        end_tokens_(facts.model().end_tokens()),
        notify_(std::move(notify)) {}

  // Ends the cancelled and those whose time is up; parks those whose reader is too far behind, and
  // ends them where that lasts.
  void end_and_hold_back(Instant now);
  // Before a sequence's first pass: what it will generate takes nothing from the heap in later
  // ones.
  static void reserve(LiveSequence& live);
  void take_token(LiveSequence& live, TokenId token, Instant now);
  // Its logits are not numbers.
  void fail_without_token(LiveSequence& live, Instant now);
  // All that are there, also those of which an earlier end was cut short by what it threw. False:
  // some could not be told; it may be called again.
  bool fail_all(const Error& why, Instant now);
  // One that did not get into the set, or not as a whole.
  void fail(const std::shared_ptr<RequestState>& request, const Error& why, Instant now);
  // One that has ended stays as it is.
  void finish(LiveSequence& live, Finish finish, std::optional<Error> error, Instant now);

 private:
  // Whether a sequence has a reader while its text is written. A reader may be slow.
  enum class Readers : std::uint8_t { kNone, kSome };
  Readers end_the_ended(Instant now);
  void hold_back_slow_readers(Instant now);

  const ExecutorFacts& facts_;
  ExecutorMemory& memory_;
  LiveSet& live_;
  const std::span<const TokenId> end_tokens_;  // the model's
  const Notify notify_;
};

}  // namespace choir
