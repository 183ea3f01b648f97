#include "runtime/executor.h"

#include <algorithm>

#include "base/check.h"
#include "core/kv_ledger.h"
#include "policy/chunk.h"
#include "policy/turn.h"

namespace choir {
namespace {

// Provided tokens and calls like suspend(): as many as there can be requests, and some.
constexpr std::size_t kJobsMax = 1U << 20;

}  // namespace

std::int32_t Executor::longest_sequence(const ExecutorConfig& config, const EngineConfig& engine,
                                        const ModelInfo& model) {
  std::int32_t tokens = engine.context_tokens;
  if (model.context_tokens_trained > 0) tokens = std::min(tokens, model.context_tokens_trained);
  if (config.sequence_tokens_max > 0) tokens = std::min(tokens, config.sequence_tokens_max);
  return tokens;
}

Executor::Executor(ExecutorId id, const ExecutorConfig& config, std::shared_ptr<const Model> model,
                   std::unique_ptr<Engine> engine, const ExecutorRules& rules, const Clock& clock,
                   Notify notify, std::shared_ptr<ExecutorStats> stats)
    : id_(id),
      name_(config.name),
      config_(config),
      model_(std::move(model)),
      end_tokens_(model_->end_tokens()),
      engine_(std::move(engine)),
      bytes_(engine_->sizes()),
      sequence_tokens_max_(longest_sequence(config, engine_->config(), model_->info())),
      rules_(rules),
      clock_(clock),
      notify_(std::move(notify)),
      stats_(std::move(stats)),
      mailbox_(rules.mailbox_max),
      embed_jobs_(rules.mailbox_max),
      jobs_(kJobsMax),
      abort_(clock),
      park_{.most = config.park_bytes_max},
      batching_(config.batching),
      prefix_cache_(config.prefix_cache),
      priority_(config.priority) {
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
  embed_jobs_.close();
  cancel_embeddings();
}

// Counted before it is posted: whoever has the turn finds it in the mail, or counted when its pass
// begins.
bool Executor::post(Mail mail) {
  const bool urgent = mail.sequence.priority == Priority::kCritical;
  if (urgent) ++urgent_mail_;
  if (!mailbox_.post(std::move(mail))) {
    if (urgent) --urgent_mail_;
    return false;
  }
  if (urgent)
    pass_.with([&](Pass& pass) {
      if (urgent_mail_.load() > 0) cut_short(pass);
    });
  return true;
}

void Executor::interrupt(RequestId request) {
  look_at(request);
  pass_.with([&](Pass& pass) {
    if (std::ranges::find(pass.prefilling, request) != pass.prefilling.end()) abort_.raise();
  });
}

void Executor::preempt() {
  cut_asked_.store(true);
  pass_.with([&](Pass& pass) { cut_short(pass); });
}

void Executor::cut_short(Pass& pass) {
  if (pass.prefilling.empty() || pass.immune) return;
  pass.preempted = true;
  abort_.raise();
}

TurnResult Executor::turn(Pool& pool, bool contended) {
  const Instant began = clock_.now();
  some_ended_ = false;
  run_jobs();
  accept_mail(began);
  wake_who_is_due(began);
  if (end_the_ended(began) == Readers::kSome) hold_back_slow_readers(began);
  release(began);
  MayWait may_wait = MayWait::kYes;
  for (bool again = true; again;) {
    make_views();
    make_room();
    add_candidates();
    plan_step(views_, limits(pool.threads(), contended), step_scratch_, plan_);
    wake_who_starts();
    for (const SeqId victim : plan_.preempted) {
      park(live(victim));
      stats_->preemptions.fetch_add(1, std::memory_order_relaxed);
    }
    again = restore_parked() || share_fronts(may_wait);
    if (!again && plan_.slices.empty() && !standing_back_.empty()) {
      // Whoever they waited for has left the plan again: then nobody waits.
      may_wait = MayWait::kNo;
      stand_forward();
      again = true;
    }
  }
  if (!plan_.slices.empty()) compute(pool);
  embed_one(pool);
  erase_finished();
  return result(began);
}

// Before the mail: a request may go on from what a job has brought. A job about requests takes the
// mail first.
void Executor::run_jobs() {
  jobs_.take_all(job_list_);
  for (const Job& job : job_list_) job(*this);
  job_list_.clear();
}

void Executor::close_jobs() {
  jobs_.close();
  run_jobs();
}

void Executor::accept_mail(Instant now) {
  mailbox_.take_all(mail_);
  for (Mail& mail : mail_) {
    if (mail.sequence.priority == Priority::kCritical) --urgent_mail_;
    accept(std::move(mail), now);
  }
  mail_.clear();
}

void Executor::accept(Mail mail, Instant now) {
  auto live = std::make_unique<LiveSequence>();
  live->value = std::move(mail.sequence);
  live->request = std::move(mail.request);
  live->conversation = mail.conversation;
  live->arrived = live->request->submitted;
  live->last_progress = now;
  live->awaited = live->value.tokens.empty();
  live->gated = mail.gated;
  live->usage.prompt_tokens = live->value.prompt_tokens;
  live->scope = scopes_.hold(live->value.reuse_scope);
  if (!live->awaited) reuse(*live, std::move(mail.kv));
  insert(std::move(live));
}

void Executor::insert(std::unique_ptr<LiveSequence> live) {
  of_class_.add(live->value.priority);
  live->tenant = &tenants_.came(live->value.tenant);
  live->tenant_weight = live->value.tenant_weight;
  const auto at = std::ranges::lower_bound(live_, live->value.id, {},
                                           [](const auto& other) { return other->value.id; });
  LiveSequence& l = **live_.insert(at, std::move(live));
  keep_awake(l);
  // The executor became smaller, or is another one, since its length was checked.
  const std::int32_t longest = sequence_tokens_max();
  if (l.awaited || l.value.known_tokens() < longest) return;
  finish(l, Finish::kFailed,
         Error{Code::kTooLong,
               "the sequence has " + std::to_string(l.value.known_tokens()) + " tokens, '" + name_ +
                   "' takes " + std::to_string(longest - 1) + " now",
               {Fact::of("n_prompt_tokens", l.value.known_tokens()), Fact::of("n_ctx", longest)}},
         clock_.now());
}

void Executor::leave_groups(LiveSequence& live) {
  of_class_.remove(live.value.priority);
  tenants_.left(*live.tenant);
  live.tenant = nullptr;
  live.scope = nullptr;
}

Executor::Readers Executor::end_the_ended(Instant now) {
  Readers readers = Readers::kNone;
  for (LiveSequence* live : awake_) {
    const RequestState& request = *live->request;
    if (request.streams) readers = Readers::kSome;
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
  return readers;
}

void Executor::hold_back_slow_readers(Instant now) {
  for (LiveSequence* live : awake_) {
    if (!live->request->streams) continue;
    const auto [unread, behind] = live->request->look_at_reader(rules_.stream_bytes_max);
    if (!behind) {
      live->held_back.reset();
    } else if (!live->held_back) {
      live->held_back = now;
      park(*live);
    } else if (now - *live->held_back >= rules_.stalled) {
      finish(*live, Finish::kStalled,
             Error{Code::kCancelled, "the reader left " + std::to_string(unread) +
                                         " bytes unread for longer than stalled_ms allows"},
             now);
    }
  }
  erase_finished();
}

void Executor::make_views() {
  views_.clear();
  wanted_ = {};
  for (const LiveSequence* live : awake_) {
    if (live->held || live->front == LiveSequence::Front::kStandsBack) continue;
    const std::int32_t pending = live->pending();
    const bool holds = live->computed > 0;
    const bool decodes = holds && pending == 1;
    const SeqView& row = views_.emplace_back(view(*live));
    wanted_.cells += pending;
    wanted_.slots += holds ? 0 : 1;
    wanted_.decodes += decodes ? 1 : 0;
    if (holds) wanted_.worst_holder = std::max(wanted_.worst_holder, row.priority);
    if (!decodes) wanted_.best_prompt = std::min(wanted_.best_prompt, row.priority);
  }
  wanted_.awake_cells = wanted_.cells;
  if (!queue_open_) return;
  wanted_.cells += waiting_.queued_cells();
  wanted_.slots += waiting_.queued();
}

SeqView Executor::view(const LiveSequence& live) const {
  const Priority priority = class_of(live);
  return {.id = live.value.id,
          .priority = priority,
          .tenant_served = tenants_.level(*live.tenant, priority),
          .arrived = live.arrived,
          .known_tokens = live.value.known_tokens(),
          .computed_tokens = live.computed};
}

StepLimits Executor::limits(int threads, bool contended) const {
  const KvUse held = use();
  const auto width =
      static_cast<std::size_t>(thread_choice_.in_use(threads, engine_->config().batch_tokens_max));
  const EngineConfig& engine = engine_->config();
  const NodeRules& node = *rules_.node;
  return {
      .batch_tokens_max = engine.batch_tokens_max,
      .chunk_tokens_max = chunk_tokens(
          {.seconds_per_token = width < seconds_per_token_.size() ? seconds_per_token_[width] : 0,
           .contended =
               contended || wanted_.decodes > 0 || pass_.with([](auto& p) { return p.immune; }),
           .quantum = quantum_beside(node.quantum.load(), node.urgent.first_token()),
           .batch_tokens_max = engine.batch_tokens_max}),
      .kv_cells_free = engine.context_tokens - held.cells,
      .slots_free = engine.sequences_max - held.slots,
      .outputs_max = engine.sequences_max};
}

TurnResult Executor::result(Instant began) {
  TurnResult r;
  cut_asked_.store(false);  // not when a turn begins: it may have been given and asked before
  const Instant now = clock_.now();
  r.elapsed = now - began;
  const std::int32_t running = held_.use().slots;
  const bool stopped = suspended();
  const auto earliest = [&](Instant at) { r.wake_at = r.wake_at ? std::min(*r.wake_at, at) : at; };
  if (release_at_) earliest(*release_at_);
  to_rest_.clear();
  for (LiveSequence* l : awake_) {
    if (l->computed == 0 && (l->held_back || may_wait_for_room(*l))) to_rest_.push_back(l);
    if (l->request->deadline != Instant{}) earliest(l->request->deadline);
    if (l->held_back) {
      earliest(*l->held_back + rules_.stalled);
      continue;
    }
    // Where somebody has ended, one who was held may begin: the next turn will tell.
    if (l->awaited || l->gated || (l->held && !some_ended_) || stopped) continue;
    r.best = r.best ? std::min(*r.best, l->value.priority) : l->value.priority;
  }
  if (const auto end = waiting_.first_end()) earliest(*end);
  if (waiting_.queued() > 0 && queue_open_ && !stopped) {
    const Priority best = waiting_.best_own();
    r.best = r.best ? std::min(*r.best, best) : best;
  }
  put_to_rest();
  for (const EmbedJob& job : embed_queue_)
    if (job.deadline != Instant{}) earliest(job.deadline);
  if (!embed_queue_.empty() && !stopped) r.best = r.best ? std::min(*r.best, priority_) : priority_;
  stats_->running.store(running, std::memory_order_relaxed);
  stats_->waiting.store(static_cast<std::int32_t>(live_.size()) - running,
                        std::memory_order_relaxed);
  stats_->cells.store(use().cells, std::memory_order_relaxed);
  stats_->cached_cells.store(cache_.use().cells, std::memory_order_relaxed);
  return r;
}

std::vector<std::string> Executor::serialize_live() const {
  std::vector<std::string> values;
  const Instant now = clock_.now();
  for (const auto& l : live_) {
    if (l->awaited) continue;  // not a sequence yet
    Sequence value = l->value;
    value.deadline_left_ns = l->request->deadline == Instant{}
                                 ? 0
                                 : std::max<std::int64_t>(1, (l->request->deadline - now).count());
    values.push_back(serialize(value));
  }
  return values;
}

std::size_t Executor::index_of(SeqId id, std::size_t guess) const {
  if (guess < awake_ids_.size() && awake_ids_[guess] == id) return guess;
  const auto at = std::ranges::lower_bound(awake_ids_, id);
  CHOIR_CHECK(at != awake_ids_.end() && *at == id, "a plan names live sequences only");
  return static_cast<std::size_t>(at - awake_ids_.begin());
}

bool Executor::books_balance() const {
  KvUse held;
  std::int32_t ended = 0;
  std::int32_t parked = 0;
  std::uint64_t parked_bytes = kept_.parked_bytes();
  std::map<const Tenants::Account*, std::int32_t> tenants;
  ClassCounts of_class;
  std::int32_t queued = 0;
  std::int32_t queued_cells = 0;
  std::int32_t resting = 0;
  for (const auto& l : live_) {
    resting += l->waits ? 1 : 0;
    queued += l->waits && l->waits->queued ? 1 : 0;
    queued_cells += l->waits && l->waits->queued ? l->pending() : 0;
    ++tenants[l->tenant];
    of_class.add(l->value.priority);
    held = held + KvUse{l->computed, l->computed > 0 ? 1 : 0};
    ended += l->ended ? 1 : 0;
    parked += l->kv.empty() ? 0 : 1;
    parked_bytes += l->kv.size();
  }
  const bool counted =
      std::ranges::all_of(tenants, [](const auto& t) { return t.first->live() == t.second; });
  // Each scope has something in it; a table that only grows would not balance.
  const bool scoped = scopes_.count() <= live_.size() + static_cast<std::size_t>(kept_.count()) +
                                             static_cast<std::size_t>(cache_.use().slots);
  const bool rest_right = resting == waiting_.size() && queued == waiting_.queued() &&
                          queued_cells == waiting_.queued_cells() &&
                          live_.size() == awake_.size() + static_cast<std::size_t>(resting);
  return counted && scoped && rest_right && of_class == of_class_ &&
         tenants_.accounts() <= tenants.size() + TenantRules{}.remembered_max &&
         held == held_.use() && ended == to_erase_ && parked == parked_ &&
         parked_bytes == park_.used && kept_.books_balance() && cache_.books_balance();
}

}  // namespace choir
