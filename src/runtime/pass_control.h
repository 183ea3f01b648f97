// What other threads may do to a pass that computes prompts, or texts to embed: a cancel, or an
// arrival of class CRITICAL, cuts it short.
//
// Owned by an executor. Between begin() and end() other threads know the prompts of the pass; a
// wish that came earlier is seen by begin(), one that comes later finds the list. A pass that an
// arrival has cut short is followed by one that runs to its end.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "base/guarded.h"
#include "engine/engine.h"
#include "runtime/request_state.h"

namespace choir {

class PassControl {
 public:
  explicit PassControl(const Clock& clock) : abort_(clock) {}

  // Any thread:
  // Ends the pass if the prompt of `request` is computed in it.
  void interrupt(RequestId request);
  // Ends a pass of this turn, whether it has begun or not, but never two in a row.
  void preempt();
  // Posts `count` requests of class CRITICAL by `post()`, and preempts. What post() returns: false
  // when they are refused. Counted before they are posted: the thread that has the turn finds them
  // in the mail, or counted when its pass begins.
  template <class Post>
  bool post_urgent(std::int32_t count, Post&& post) {
    urgent_mail_ += count;
    if (!post()) {
      urgent_mail_ -= count;
      return false;
    }
    pass_.with([&](Pass& pass) {
      if (urgent_mail_.load() > 0) cut_short(pass);
    });
    return true;
  }

  // The thread that has the turn:
  void urgent_accepted() { --urgent_mail_; }
  // A pass that computes prompts or texts of these requests begins.
  void begin(std::span<const RequestState* const> prompts);
  const AbortSignal& signal() const { return abort_; }
  enum class Ended : std::uint8_t { kAborted, kOtherwise };
  void end(Ended how);
  // The next pass is a short one and runs to its end.
  bool immune() const {
    return pass_.with([](const Pass& pass) { return pass.immune; });
  }
  // preempt() is of the turn that ends here. Not when a turn begins: it may have been given, and
  // asked to end, before.
  void end_turn() { cut_asked_.store(false); }

 private:
  struct Pass {
    std::vector<RequestId> prefilling;
    bool immune = false;  // the last one was aborted by preempt()
    bool preempted = false;
  };
  void cut_short(Pass& pass);

  Guarded<Pass> pass_;
  AbortSignal abort_;
  std::atomic<bool> cut_asked_{false};        // preempt() was called since the last turn ended
  std::atomic<std::int32_t> urgent_mail_{0};  // of class CRITICAL, posted and not yet accepted
};

}  // namespace choir
