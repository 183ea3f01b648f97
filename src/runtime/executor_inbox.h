// What other threads send to an executor: requests, jobs, and requests that it has to look at.
//
// Owned by the executor. Any thread posts and never waits; the thread that has the turn takes.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "core/kv_state.h"
#include "core/sequence.h"
#include "runtime/request_state.h"

namespace choir {

// A new sequence. Its KV state is kept under `conversation` when it ends, and taken from there, or
// from `kv`, as far as the tokens agree.
struct ExecutorMail {
  Sequence sequence;
  std::shared_ptr<RequestState> request;
  ConversationKey conversation;
  KvState kv;
  bool gated = false;  // does not compute before Executor::open_gate()
};

class ExecutorInbox {
 public:
  using Job = RequestJob;

  explicit ExecutorInbox(std::size_t mail_max) : mail_(mail_max), jobs_(kJobsMax) {}

  // Any thread. False when it is full, or closed.
  bool post(ExecutorMail mail) { return mail_.post(std::move(mail)); }
  // One that was accepted already: it is taken though the inbox is full.
  bool post_accepted(ExecutorMail mail) { return mail_.post_accepted(std::move(mail)); }
  // All, or none and they stay as they are.
  bool post_all(std::span<ExecutorMail> mail) { return mail_.post_all(mail); }
  bool post_job(Job job) { return jobs_.post(std::move(job)); }
  void close_jobs() { jobs_.close(); }
  void open_jobs() { jobs_.open(); }
  void look_at(RequestId request) {
    looks_.with([&](auto& all) { all.push_back(request); });
    looks_asked_.store(true);
  }
  // There is neither mail nor a job.
  bool empty() const { return mail_.empty() && jobs_.empty(); }

  // The thread that has the turn: `use(item)` for each that has come, oldest first. A job may take
  // mail.
  template <class Use>
  void take_mail(Use&& use) {
    mail_.take_all(came_);
    for (ExecutorMail& mail : came_) use(std::move(mail));
    came_.clear();
  }
  template <class Use>
  void take_jobs(Use&& use) {
    jobs_.take_all(came_jobs_);
    for (const Job& job : came_jobs_) use(job);
    came_jobs_.clear();
  }
  template <class Use>
  void take_looks(Use&& use) {
    if (!looks_asked_.load()) return;
    looks_asked_.store(false);
    for (const RequestId id : looks_.with([](auto& all) { return std::exchange(all, {}); }))
      use(id);
  }

 private:
  // Gates that open, and calls like update(): as many as there can be requests, and some.
  static constexpr std::size_t kJobsMax = 1U << 20;

  Mailbox<ExecutorMail> mail_;
  Mailbox<Job> jobs_;
  Guarded<std::vector<RequestId>> looks_;
  std::atomic<bool> looks_asked_{false};
  std::vector<ExecutorMail> came_;  // reused from turn to turn
  std::vector<Job> came_jobs_;
};

}  // namespace choir
