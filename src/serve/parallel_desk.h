// What the door threads do for one POST /choir/v1/parallel: they read the body, find the models,
// have them loaded, and submit the jobs.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "serve/http.h"
#include "serve/parallel_jobs.h"
#include "serve/replicas.h"
#include "serve/services.h"

namespace choir::serve {

// The jobs of one call, submitted: all of them, or of those that go one at a time the first.
struct ParallelSubmitted {
  struct Shown {
    std::string model;
    std::string prompt;
  };
  std::vector<Shown> shown;                   // of each job
  std::vector<Submission> submissions;        // of each job; no request: not submitted, or refused
  std::map<std::size_t, Completion> refused;  // by job
  double load_seconds = 0;
  std::int32_t cores = 0;  // of the node
  Instant began;           // of the first submission
  ParallelEvaluation::Order order = ParallelEvaluation::Order::kTogether;
  std::optional<EvaluationReport> against;
};

// Shared by the work on the loop, the door threads, and the callbacks of the requests.
// Functions: each is a step that a thread takes for another.
class ParallelDesk : public std::enable_shared_from_this<ParallelDesk> {
 public:
  struct Begun {
    std::size_t job = 0;
    Instant began;
    Submission submission;
    std::optional<Completion> refused;  // there is no request
  };
  // What is left for the loop. An error is the end.
  struct Slot {
    std::optional<ApiError> error;
    std::map<std::string, LoadTicket> loads;  // by executor; when all are loaded: submit_loaded()
    std::optional<ParallelSubmitted> submitted;
    std::optional<Begun> begun;  // of submit_job()
  };

  ParallelDesk(const Services& services, HttpRequest request, Wake wake)
      : services_(services), request_(std::move(request)), wake_(std::move(wake)) {}

  // On the loop. None of them blocks.
  void begin() { post(Door::kQuick, &ParallelDesk::read); }
  void submit_loaded() { post(Door::kQuick, &ParallelDesk::prepare_loaded); }
  // Of jobs that go one at a time, once the one before has ended.
  void submit_job(std::size_t job);
  Slot take();
  std::vector<std::size_t> take_news();  // the jobs whose streams have something
  bool settled(std::size_t job) const;   // its stream has the end, or will have it in this moment
  // The client has gone. What is not submitted yet never is.
  void leave();
  void refuse(ApiError error);
  void cancel(std::span<const Submission> submissions);
  ApiError load_error_of(const std::string& executor, const Error& error) const;
  bool stream() const { return stream_.load(); }  // asked for; once something is in the slot
  Nanos text_every() const { return text_every_.load(); }  // as stream()
  const Wake& wake() const { return wake_; }
  // Whether a job names it; else it is loaded as another replica, and the jobs do without it where
  // that fails. Once something is in the slot.
  bool is_named(const std::string& executor) const;
  double seconds_since(Instant began) const { return to_seconds(clock_.now() - began); }

 private:
  // On a door thread, one after another.
  void read();
  void find_new_models();
  void check_loads();
  void load();
  void prepare_loaded();
  void prepare();
  void submit();
  void submit_first();
  void submit_next();

  void post(Door door, void (ParallelDesk::*step)());
  std::optional<ApiError> find_models(bool also_new);
  std::optional<ApiError> check_models() const;
  std::vector<std::string> cold_models() const;
  std::vector<std::string> absent(const std::string& model) const;
  Callbacks callbacks_of(std::size_t job);
  Status reuse_nothing_of_before();
  Result<Prepared> prepared(std::size_t job);
  ParallelSubmitted described() const;
  void hand_over(ParallelSubmitted all);
  Result<std::vector<Submission>> enter(const std::vector<std::size_t>& jobs);
  Result<Begun> begun(std::size_t job);

  const Services services_;
  HttpRequest request_;
  const Wake wake_;
  const SteadyClock clock_;
  ParallelAsked asked_;
  std::vector<std::string> models_;                   // that each job names
  std::vector<Sent> sent_;                            // of each job that is prepared: where it goes
  std::map<std::size_t, Result<Prepared>> prepared_;  // by job
  std::size_t next_job_ = 0;  // written on the loop before the door has its step
  std::optional<Instant> began_loading_;
  double load_seconds_ = 0;
  std::atomic<bool> stream_{false};
  std::atomic<Nanos> text_every_{Nanos{0}};
  std::atomic<bool> gone_{false};
  Guarded<std::set<std::size_t>> settled_;
  Guarded<std::vector<std::size_t>> news_;
  Guarded<Slot> slot_;
};

}  // namespace choir::serve
