#include "runtime/executor.h"

#include <algorithm>

#include "base/check.h"
#include "core/kv_ledger.h"
#include "policy/chunk.h"
#include "policy/turn.h"

namespace choir {

Executor::Executor(ExecutorId id, ExecutorConfig config, std::shared_ptr<const Model> model,
                   std::unique_ptr<Engine> engine, const ExecutorRules& rules, const Clock& clock,
                   Notify notify)
    : id_(id),
      config_(std::move(config)),
      model_(std::move(model)),
      engine_(std::move(engine)),
      bytes_(engine_->sizes()),
      sequence_tokens_max_(
          model_->info().context_tokens_trained > 0
              ? std::min(engine_->config().context_tokens, model_->info().context_tokens_trained)
              : engine_->config().context_tokens),
      rules_(rules),
      clock_(clock),
      notify_(std::move(notify)),
      mailbox_(rules.mailbox_max),
      embed_jobs_(rules.mailbox_max),
      abort_(clock) {
  sample_row_ = [this](int index, int thread) {
    Row& row = rows_[static_cast<std::size_t>(index)];
    const Sequence& s = row.live->value;
    row.token =
        sample(engine_->logits(row.slice), s.sampling, s.tokens,
               {s.sampling.seed, s.stream_index, static_cast<std::uint32_t>(s.tokens.size())},
               sampler_scratch_[static_cast<std::size_t>(thread)]);
  };
}

Executor::~Executor() {
  std::vector<EmbedJob> left;
  embed_jobs_.close();
  embed_jobs_.take_all(left);
  std::ranges::move(embed_queue_, std::back_inserter(left));
  for (const EmbedJob& job : left)
    job.promise->set_value(fail(Code::kCancelled, "executor '" + config_.name + "' was removed"));
}

bool Executor::post(Sequence sequence, std::shared_ptr<RequestState> request) {
  const bool urgent = sequence.priority == Priority::kCritical;
  if (!mailbox_.post({std::move(sequence), std::move(request)})) return false;
  if (urgent) preempt();
  return true;
}

void Executor::interrupt(RequestId request) {
  pass_.with([&](Pass& pass) {
    if (std::ranges::find(pass.prefilling, request) != pass.prefilling.end()) abort_.raise();
  });
}

void Executor::preempt() {
  pass_.with([&](Pass& pass) {
    if (pass.prefilling.empty() || pass.immune) return;
    pass.preempted = true;
    abort_.raise();
  });
}

TurnResult Executor::turn(Pool& pool, bool contended) {
  const Instant began = clock_.now();
  accept_mail(began);
  end_the_ended(began);
  hold_back_slow_readers(began);
  for (bool again = true; again;) {
    make_views(began);
    plan_step(views_, limits(pool.threads(), contended), step_scratch_, plan_);
    for (const SeqId victim : plan_.preempted) {
      park(live(victim));
      stats_.preemptions.fetch_add(1, std::memory_order_relaxed);
    }
    again = restore_parked();
  }
  if (!plan_.slices.empty() && run_pass(pool)) sample_rows(pool);
  embed_one(pool);
  erase_finished();
  return result(began);
}

void Executor::accept_mail(Instant now) {
  mailbox_.take_all(mail_);
  for (Mail& mail : mail_) {
    auto live = std::make_unique<LiveSequence>();
    live->value = std::move(mail.sequence);
    live->request = std::move(mail.request);
    live->arrived = live->request->submitted;
    live->last_progress = now;
    live->usage.prompt_tokens = live->value.prompt_tokens;
    live->value.tokens.reserve(static_cast<std::size_t>(live->value.prompt_tokens) +
                               static_cast<std::size_t>(live->value.max_tokens));
    live->text.reserve(
        std::min<std::size_t>(static_cast<std::size_t>(live->value.max_tokens) * 5, 64U << 10));
    // A tenant that comes new starts level with the one that had least, not with a claim on all
    // that the others were given before.
    double least = 0;
    for (bool first = true; const auto& [tenant, served] : tenant_served_) {
      least = first ? served : std::min(least, served);
      first = false;
    }
    live->tenant_served = &tenant_served_.try_emplace(live->value.tenant, least).first->second;
    const SeqId id = live->value.id;
    const auto at = std::ranges::lower_bound(live_ids_, id) - live_ids_.begin();
    live_ids_.insert(live_ids_.begin() + at, id);
    live_.insert(live_.begin() + at, std::move(live));
  }
}

void Executor::embed_one(Pool& pool) {
  std::vector<EmbedJob> came;
  embed_jobs_.take_all(came);
  std::ranges::move(came, std::back_inserter(embed_queue_));
  if (embed_queue_.empty()) return;
  EmbedJob job = std::move(embed_queue_.front());
  embed_queue_.pop_front();
  const AbortSignal never(clock_);
  engine_->attach(pool);
  auto vector = engine_->embed(job.tokens, never);
  engine_->detach();
  stats_.steps.fetch_add(1, std::memory_order_relaxed);
  stats_.prompt_tokens.fetch_add(job.tokens.size(), std::memory_order_relaxed);
  stats_.requests_done.fetch_add(1, std::memory_order_relaxed);
  job.promise->set_value(std::move(vector));
}

void Executor::end_the_ended(Instant now) {
  for (const auto& live : live_) {
    const RequestState& request = *live->request;
    if (request.cancelled.load(std::memory_order_relaxed))
      finish(*live, Finish::kCancelled, Error{Code::kCancelled, "the request was cancelled"}, now);
    else if (request.deadline != Instant{} && now >= request.deadline)
      finish(*live, Finish::kDeadline,
             Error{Code::kDeadlineExceeded,
                   "deadline exceeded: the request had " +
                       std::to_string((request.deadline - request.submitted) /
                                      std::chrono::milliseconds(1)) +
                       " ms and generated " + std::to_string(live->value.output_tokens()) + " of " +
                       std::to_string(live->value.max_tokens) + " tokens"},
             now);
  }
  erase_finished();
}

void Executor::hold_back_slow_readers(Instant now) {
  for (const auto& live : live_) {
    if (!live->request->streams()) continue;
    const std::size_t unread = live->request->unread_bytes();
    if (!live->held_back && unread > rules_.stream_bytes_max) {
      live->held_back = now;
      live->request->held_back.store(true);
      park(*live);
    } else if (live->held_back && unread <= rules_.stream_bytes_max / 2) {
      live->held_back.reset();
      live->request->held_back.store(false);
    } else if (live->held_back && now - *live->held_back >= rules_.stalled) {
      finish(*live, Finish::kStalled,
             Error{Code::kCancelled, "the reader left " + std::to_string(unread) +
                                         " bytes unread for longer than stalled_ms allows"},
             now);
    }
  }
  erase_finished();
}

void Executor::make_views(Instant now) {
  views_.clear();
  for (const auto& live : live_) {
    if (live->held_back) continue;
    // What waiting has earned stays: a sequence that fell back with its first slice would lose its
    // cells to the next one that has waited, and none would get to its end.
    live->lifted = std::min(live->lifted,
                            aged(live->value.priority, now - live->last_progress, rules_.age_step));
    views_.push_back({.id = live->value.id,
                      .priority = live->lifted,
                      .tenant_served = *live->tenant_served,
                      .arrived = live->arrived,
                      .known_tokens = live->value.known_tokens(),
                      .computed_tokens = live->computed});
  }
}

StepLimits Executor::limits(int threads, bool contended) const {
  const KvUse use = count_kv(views_);
  const auto width = static_cast<std::size_t>(threads);
  const bool decodes = std::ranges::any_of(
      views_, [](const SeqView& v) { return v.computed_tokens > 0 && v.pending_tokens() == 1; });
  const EngineConfig& engine = engine_->config();
  return {
      .batch_tokens_max = engine.batch_tokens_max,
      .chunk_tokens_max = chunk_tokens(
          {.seconds_per_token = width < seconds_per_token_.size() ? seconds_per_token_[width] : 0,
           .contended = contended || decodes || pass_.with([](auto& p) { return p.immune; }),
           .quantum = quantum_beside(rules_.quantum, rules_.urgent->first_token()),
           .batch_tokens_max = engine.batch_tokens_max}),
      .kv_cells_free = engine.context_tokens - use.cells,
      .slots_free = engine.sequences_max - use.slots,
      .outputs_max = engine.sequences_max};
}

bool Executor::restore_parked() {
  if (parked_ == 0) return false;
  bool restored = false;
  std::int32_t cells_free = engine_->config().context_tokens - count_kv(views_).cells;
  for (const SeqId victim : plan_.preempted)
    for (const SeqView& view : views_)
      if (view.id == victim) cells_free += view.computed_tokens;
  bool dropped = false;
  std::erase_if(plan_.slices, [&](const Slice& slice) {
    LiveSequence& l = live(slice.seq);
    if (l.kv.empty()) {
      cells_free -= slice.count;
      return false;
    }
    dropped = true;
    if (l.kv_tokens > cells_free) return true;  // keeps its state and waits for room
    if (engine_->restore(slice.seq, l.kv)) {
      l.computed = engine_->computed(slice.seq);
      cells_free -= l.computed;
      restored = true;
    }
    drop_parked(l);
    return true;
  });
  if (restored) return plan_.slices.empty();
  if (dropped && plan_.slices.empty()) {
    // Nothing else can run, so the room it waits for will not come: compute it again instead.
    for (const auto& l : live_) drop_parked(*l);
    return true;
  }
  return false;
}

void Executor::drop_parked(LiveSequence& live) {
  if (live.kv.empty()) return;
  parked_bytes_ -= live.kv.size();
  --parked_;
  live.kv = {};
}

void Executor::park(LiveSequence& live) {
  if (live.computed == 0) return;
  if (parked_bytes_ < config_.park_bytes_max) {
    if (auto blob = engine_->save(live.value.id);
        blob && parked_bytes_ + blob->size() <= config_.park_bytes_max) {
      parked_bytes_ += blob->size();
      ++parked_;
      live.kv_tokens = live.computed;
      live.kv = std::move(*blob);
    }
  }
  if (live.kv.empty()) live.usage.recomputed_tokens += live.computed;
  engine_->truncate(live.value.id, 0);
  live.computed = 0;
}

// Tells the other threads which prompts are in the pass before it looks at their wishes a last
// time: a cancel that comes later finds the list, one that came earlier is seen here.
void Executor::begin_pass() {
  Instant deadline;
  bool cancelled = false;
  abort_.reset();
  pass_.with([&](Pass& pass) {
    pass.prefilling.clear();
    pass.preempted = false;
    for (std::size_t i = 0; i < plan_.slices.size(); ++i)
      if (plan_.slices[i].count > 1) pass.prefilling.push_back(slice_live_[i]->value.request);
  });
  for (std::size_t i = 0; i < plan_.slices.size(); ++i) {
    if (plan_.slices[i].count == 1) continue;
    const RequestState& request = *slice_live_[i]->request;
    cancelled = cancelled || request.cancelled.load();
    if (request.deadline != Instant{} && (deadline == Instant{} || request.deadline < deadline))
      deadline = request.deadline;
  }
  abort_.set_deadline(deadline);
  if (cancelled) abort_.raise();
}

bool Executor::run_pass(Pool& pool) {
  slice_live_.clear();
  slice_tokens_.clear();
  for (const Slice& slice : plan_.slices) {
    LiveSequence& l = live(slice.seq);
    slice_live_.push_back(&l);
    slice_tokens_.push_back(
        std::span(l.value.tokens)
            .subspan(static_cast<std::size_t>(slice.begin), static_cast<std::size_t>(slice.count)));
  }
  begin_pass();
  const Instant began = clock_.now();
  engine_->attach(pool);
  const Result<RunOutcome> outcome = engine_->run(plan_, slice_tokens_, abort_);
  engine_->detach();
  const Instant ended = clock_.now();
  pass_.with([&](Pass& pass) {
    pass.prefilling.clear();
    pass.immune = outcome && *outcome == RunOutcome::kAborted && pass.preempted;
  });
  if (outcome && *outcome == RunOutcome::kDone) {
    count_pass(pool.threads(), began, ended);
    return true;
  }

  for (LiveSequence* l : slice_live_) {
    l->computed = engine_->computed(l->value.id);
    if (!outcome) finish(*l, Finish::kFailed, outcome.error(), ended);
  }
  if (outcome && *outcome == RunOutcome::kAborted)
    stats_.aborts.fetch_add(1, std::memory_order_relaxed);
  if (outcome && *outcome == RunOutcome::kNoCells) {
    // The ledger said there was room and the engine found none: make some, the newest first.
    const auto holder = std::ranges::find_if(live_.rbegin(), live_.rend(),
                                             [](const auto& l) { return l->computed > 0; });
    if (holder != live_.rend()) {
      park(**holder);
      stats_.preemptions.fetch_add(1, std::memory_order_relaxed);
    }
  }
  return false;
}

void Executor::count_pass(int threads, Instant began, Instant ended) {
  std::int32_t tokens = 0;
  std::int32_t prompt_tokens = 0;
  for (std::size_t i = 0; i < plan_.slices.size(); ++i) {
    const std::int32_t count = plan_.slices[i].count;
    LiveSequence& l = *slice_live_[i];
    l.computed += count;
    l.last_progress = ended;
    if (l.usage.output_tokens == 0) l.first_token += ended - began;
    *l.tenant_served += count;
    if (!l.begun) {
      l.begun = true;
      l.usage.queue_seconds = to_seconds(began - l.request->submitted);
    }
    tokens += count;
    if (count > 1) prompt_tokens += count;
  }
  stats_.steps.fetch_add(1, std::memory_order_relaxed);
  stats_.prompt_tokens.fetch_add(static_cast<std::uint64_t>(prompt_tokens),
                                 std::memory_order_relaxed);
  if (prompt_tokens < 16 || prompt_tokens * 2 < tokens) return;  // the speed of prompts is wanted
  const auto width = static_cast<std::size_t>(threads);
  if (seconds_per_token_.size() <= width) seconds_per_token_.resize(width + 1, 0);
  const double measured = to_seconds(ended - began) / tokens;
  double& average = seconds_per_token_[width];
  average = average == 0 ? measured : 0.7 * average + 0.3 * measured;
}

TurnResult Executor::result(Instant began) {
  TurnResult r;
  const Instant now = clock_.now();
  r.elapsed = now - began;
  std::int32_t running = 0;
  const auto earliest = [&](Instant at) { r.wake_at = r.wake_at ? std::min(*r.wake_at, at) : at; };
  for (const auto& l : live_) {
    if (l->computed > 0) ++running;
    if (l->request->deadline != Instant{}) earliest(l->request->deadline);
    if (l->held_back)
      earliest(*l->held_back + rules_.stalled);
    else
      r.best = r.best ? std::min(*r.best, l->value.priority) : l->value.priority;
  }
  if (!embed_queue_.empty())
    r.best = r.best ? std::min(*r.best, config_.priority) : config_.priority;
  stats_.running.store(running, std::memory_order_relaxed);
  stats_.waiting.store(static_cast<std::int32_t>(live_.size()) - running,
                       std::memory_order_relaxed);
  return r;
}

std::vector<std::string> Executor::serialize_live() const {
  std::vector<std::string> values;
  const Instant now = clock_.now();
  for (const auto& l : live_) {
    Sequence value = l->value;
    value.deadline_left_ns = l->request->deadline == Instant{}
                                 ? 0
                                 : std::max<std::int64_t>(1, (l->request->deadline - now).count());
    values.push_back(serialize(value));
  }
  return values;
}

LiveSequence& Executor::live(SeqId id) {
  const auto at = std::ranges::lower_bound(live_ids_, id);
  CHOIR_CHECK(at != live_ids_.end() && *at == id, "a plan names live sequences only");
  return *live_[static_cast<std::size_t>(at - live_ids_.begin())];
}

}  // namespace choir
