#include "runtime/executor.h"

#include <algorithm>
#include <chrono>

#include "base/caught.h"
#include "base/log.h"

namespace choir {
namespace {

// Where not even the ends could be told, it is tried again.
constexpr Nanos kTellAgain = std::chrono::milliseconds(100);

Error failed_turn(const Error& why, const std::string& executor) {
  Error error = Error(why).in("a turn of executor '" + executor + "' failed");
  log(LogLevel::kError, error.message + "; its requests end");
  return error;
}

}  // namespace

Executor::Executor(ExecutorId id, const ExecutorConfig& config, std::shared_ptr<const Model> model,
                   std::unique_ptr<Engine> engine, const ExecutorRules& rules, const Clock& clock,
                   Notify notify, std::shared_ptr<ExecutorStats> stats)
    : ExecutorFacts(id, config, std::move(model), *engine, rules, clock, std::move(stats)),
      inbox_(rules.mailbox_max),
      control_(clock),
      memory_(*this, std::move(engine), config.park_bytes_max),
      speeds_(*this),
      sharing_(*this, memory_, live_),
      answers_(*this, memory_, live_, notify),
      gate_(*this, live_),
      planner_({*this, memory_, live_, gate_, sharing_, speeds_, control_}),
      runner_({*this, memory_, live_, planner_, control_, speeds_, answers_}),
      embeddings_(*this, control_, speeds_, std::move(notify)) {}

bool Executor::post(Mail mail) {
  if (mail.sequence.priority != Priority::kCritical) return inbox_.post(std::move(mail));
  return control_.post_urgent(1, [&] { return inbox_.post(std::move(mail)); });
}

bool Executor::post_accepted(Mail mail) {
  if (mail.sequence.priority != Priority::kCritical) return inbox_.post_accepted(std::move(mail));
  return control_.post_urgent(1, [&] { return inbox_.post_accepted(std::move(mail)); });
}

bool Executor::post_all(std::span<Mail> mail) {
  const auto urgent = static_cast<std::int32_t>(std::ranges::count_if(
      mail, [](const Mail& m) { return m.sequence.priority == Priority::kCritical; }));
  if (urgent == 0) return inbox_.post_all(mail);
  return control_.post_urgent(urgent, [&] { return inbox_.post_all(mail); });
}

void Executor::interrupt(RequestId request) {
  look_at(request);
  control_.interrupt(request);
}

TurnResult Executor::turn(Pool& pool, bool contended) {
  if (broken_) return fail_all(*broken_);
  auto done = caught([&] { return step(pool, contended); });
  if (done) return *done;
  return fail_all(broken_ ? *broken_ : failed_turn(done.error(), name()));
}

Result<TurnResult> Executor::step(Pool& pool, bool contended) {
  const Instant began = clock().now();
  live_.forget_who_left();
  run_jobs();
  accept_mail(began);
  if (broken_) return tl::unexpected(*broken_);
  inbox_.take_looks([&](RequestId request) { live_.wake_if_it_rests(request); });
  live_.wake_who_is_due(began);
  answers_.end_and_hold_back(began);
  gate_.open(memory_.config().sequences_max, began);
  const StepPlan& plan = planner_.plan(pool.threads(), contended);
  ComputedRows computed;
  if (!plan.slices.empty()) computed = runner_.compute(plan, pool);
  computed.add(embeddings_.compute(memory_.engine(), pool, contended));
  live_.erase_ended();
  TurnResult r = result(began);
  r.computed = computed;
  return r;
}

// Before the mail: a request may go on from what a job has brought. A job about requests takes the
// mail first.
void Executor::run_jobs() {
  inbox_.take_jobs([&](const Job& job) {
    const Status done = caught([&] { job(*this); });
    if (!done) broken_ = failed_turn(done.error(), name());
  });
}

void Executor::close_jobs() {
  inbox_.close_jobs();
  run_jobs();
}

void Executor::accept_mail(Instant now) {
  inbox_.take_mail([&](Mail mail) {
    if (mail.sequence.priority == Priority::kCritical) control_.urgent_accepted();
    const std::shared_ptr<RequestState> request = mail.request;
    const SeqId sequence = mail.sequence.id;
    const Status accepted = caught([&] { accept(std::move(mail), now); });
    if (accepted) return;
    broken_ = failed_turn(accepted.error(), name());
    memory_.engine().truncate(sequence, 0);  // the books are made anew
    answers_.fail(request, *broken_, now);
  });
}

void Executor::accept(Mail mail, Instant now) {
  auto live = std::make_unique<LiveSequence>();
  live->value = std::move(mail.sequence);
  live->request = std::move(mail.request);
  live->conversation = mail.conversation;
  live->arrived = live->request->submitted;
  live->last_progress = now;
  live->gated = mail.gated;
  live->usage.prompt_tokens = live->value.prompt_tokens;
  live->scope = memory_.scope(live->value.reuse_scope);
  sharing_.reuse(*live, std::move(mail.kv));
  insert(std::move(live));
}

TurnResult Executor::fail_turn(const Error& why) {
  const Status came = caught([&] {
    run_jobs();
    accept_mail(clock().now());
  });
  return fail_all(failed_turn(came ? why : came.error(), name()));
}

TurnResult Executor::fail_all(const Error& why) {
  const Instant began = clock().now();
  const auto ended = caught([&]() -> Result<TurnResult> {
    Error error = why;  // a copy, for it may be broken_
    broken_ = error;
    if (!end_all(error)) return tl::unexpected(std::move(error));
    broken_.reset();
    return result(began);
  });
  if (ended) return *ended;
  TurnResult again;
  again.began = began;
  again.add_alarm(began + kTellAgain);
  return again;
}

// False: some could not be told.
bool Executor::end_all(const Error& why) {
  const Instant now = clock().now();
  control_.end(PassControl::Ended::kOtherwise);
  memory_.engine().detach();
  memory_.forget_all(live_.all());
  const bool sequences = answers_.fail_all(why, now);
  const bool texts = embeddings_.fail_all(why, now);
  if (sequences) live_.clear();
  return sequences && texts;
}

void Executor::insert(std::unique_ptr<LiveSequence> live) {
  LiveSequence& l = live_.add(std::move(live));
  // The executor became smaller, or is another one, since its length was checked.
  const std::int32_t longest = sequence_tokens_max();
  if (l.value.known_tokens() < longest) return;
  answers_.finish(
      l, Finish::kFailed,
      Error{Code::kTooLong,
            "the sequence has " + std::to_string(l.value.known_tokens()) + " tokens, '" + name() +
                "' takes " + std::to_string(longest - 1) + " now",
            {Fact::of("n_prompt_tokens", l.value.known_tokens()), Fact::of("n_ctx", longest)}},
      clock().now());
}

TurnResult Executor::result(Instant began) {
  TurnResult r;
  control_.end_turn();
  r.began = began;
  r.elapsed = clock().now() - began;
  gate_.close(r);
  embeddings_.add_to(r);
  const std::int32_t running = memory_.held_by_sequences().slots;
  ExecutorStats& stats = counters();
  r.threads = stats.threads.load(std::memory_order_relaxed);
  count_requests(running, static_cast<std::int32_t>(live_.all().size()) - running);
  stats.cells.store(memory_.use().cells, std::memory_order_relaxed);
  stats.cached_cells.store(memory_.cache().use().cells, std::memory_order_relaxed);
  return r;
}

std::vector<std::string> Executor::serialize_live() const {
  std::vector<std::string> values;
  const Instant now = clock().now();
  for (const auto& l : live_.all()) {
    Sequence value = l->value;
    value.deadline_left_ns = l->request->deadline == Instant{}
                                 ? 0
                                 : std::max<std::int64_t>(1, (l->request->deadline - now).count());
    values.push_back(serialize(value));
  }
  return values;
}

bool Executor::books_balance() const {
  return live_.books_balance() && memory_.books_balance(live_.all());
}

}  // namespace choir
