// The middle of a turn: one forward pass, which other threads may cut short.
#include <algorithm>

#include "runtime/executor.h"

namespace choir {

// Tells the other threads which prompts are in the pass before it looks at their wishes a last
// time: a cancel or an arrival that comes later finds the list, one that came earlier is seen here.
void Executor::begin_pass() {
  Instant deadline;
  bool cancelled = false;
  abort_.reset();
  pass_.with([&](Pass& pass) {
    pass.prefilling.clear();
    pass.preempted = false;
    for (const LiveSequence* l : prompts_) pass.prefilling.push_back(l->value.request);
    if (cut_asked_.load() || urgent_mail_.load() > 0) cut_short(pass);
  });
  for (const LiveSequence* l : prompts_) {
    const RequestState& request = *l->request;
    cancelled = cancelled || request.cancelled.load();
    if (request.deadline != Instant{} && (deadline == Instant{} || request.deadline < deadline))
      deadline = request.deadline;
  }
  abort_.set_deadline(deadline);
  if (cancelled) abort_.raise();
}

void Executor::compute(Pool& lane) {
  const std::int32_t tokens = plan_.tokens();
  const Instant began = clock_.now();
  const int threads =
      rules_.adapt_threads ? thread_choice_.choose(lane.threads(), tokens, began) : lane.threads();
  Pool& pool = lane.narrowed(threads);
  stats_->threads.store(threads, std::memory_order_relaxed);
  if (!run_pass(pool)) return;
  sample_rows(pool, began);
  const Instant ended = clock_.now();
  thread_choice_.took(lane.threads(), tokens, threads, ended - began, ended);
}

bool Executor::run_pass(Pool& pool) {
  slice_live_.clear();
  slice_tokens_.clear();
  prompts_.clear();
  std::size_t next = 0;  // plans mostly name them in the order in which they are kept
  for (const Slice& slice : plan_.slices) {
    const std::size_t at = index_of(slice.seq, next);
    next = at + 1;
    LiveSequence& l = *awake_[at];
    reserve(l);
    slice_live_.push_back(&l);
    if (slice.count > 1) prompts_.push_back(&l);
    slice_tokens_.push_back(
        std::span(l.value.tokens)
            .subspan(static_cast<std::size_t>(slice.begin), static_cast<std::size_t>(slice.count)));
  }
  if (!cache_.empty()) evict_cached(need_of_plan());
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

  if (!outcome) forget_lost();
  for (LiveSequence* l : slice_live_) {
    held_.set(l->computed, engine_->computed(l->value.id));
    if (!outcome) finish(*l, Finish::kFailed, outcome.error(), ended);
  }
  if (outcome && *outcome == RunOutcome::kAborted)
    stats_->aborts.fetch_add(1, std::memory_order_relaxed);
  if (outcome && *outcome == RunOutcome::kNoCells) {
    // The ledger said there was room and the engine found none: make some, of what is cached, or
    // of the newest.
    if (cache_.evict_oldest(*engine_)) return false;
    const auto holder = std::ranges::find_if(live_.rbegin(), live_.rend(),
                                             [](const auto& l) { return l->computed > 0; });
    if (holder != live_.rend()) {
      park(**holder);
      stats_->preemptions.fetch_add(1, std::memory_order_relaxed);
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
    held_.set(l.computed, l.computed + count);
    l.last_progress = ended;
    l.request->progress.computed.store(l.computed, std::memory_order_relaxed);
    if (l.request->progress.parked.load(std::memory_order_relaxed))
      l.request->progress.parked.store(false, std::memory_order_relaxed);
    if (l.usage.output_tokens == 0) l.first_token += ended - began;
    if (!l.begun) {
      l.begun = true;
      l.usage.queue_seconds = to_seconds(began - l.request->submitted);
    }
    tokens += count;
    if (count > 1) prompt_tokens += count;
  }
  count_tenants();
  // What they wait for was computed: they have not been passed over.
  for (LiveSequence* l : standing_back_) l->last_progress = ended;
  stats_->steps.fetch_add(1, std::memory_order_relaxed);
  stats_->prompt_tokens.fetch_add(static_cast<std::uint64_t>(prompt_tokens),
                                  std::memory_order_relaxed);
  const double seconds = to_seconds(ended - began);
  if (prompt_tokens == 0) {
    // One row of a decode; a full batch makes it cheaper, which is what a newcomer will see too.
    std::atomic<double>& average = stats_->seconds_per_output_token;
    const double old = average.load(std::memory_order_relaxed);
    const double row = seconds / tokens;
    average.store(old == 0 ? row : 0.9 * old + 0.1 * row, std::memory_order_relaxed);
  }
  if (prompt_tokens < 16 || prompt_tokens * 2 < tokens) return;  // the speed of prompts is wanted
  const auto width = static_cast<std::size_t>(threads);
  if (seconds_per_token_.size() <= width) seconds_per_token_.resize(width + 1, 0);
  const double measured = seconds / tokens;
  double& average = seconds_per_token_[width];
  average = average == 0 ? measured : 0.7 * average + 0.3 * measured;
  stats_->seconds_per_prompt_token.store(average, std::memory_order_relaxed);
}

void Executor::count_tenants() {
  const std::int32_t computed = plan_.tokens();
  if (computed < wanted_.cells || !standing_back_.empty()) {
    // Where all that the awake ones wanted was computed, only those that rest are left.
    if (computed < wanted_.awake_cells || woken_for_plan_ || !standing_back_.empty())
      for (const LiveSequence* l : awake_)
        if (!l->held && l->pending() > 0) tenants_.wanted(*l->tenant, class_of(*l));
    if (queue_open_) waiting_.count_wanting(rules_.node->classes.load(), tenants_);
  }
  // Neighbours are mostly of one tenant, class and weight: what they had is told together.
  Tenants::Account* tenant = nullptr;
  Priority priority = Priority::kNormal;
  double weight = 1;
  std::int32_t tokens = 0;
  for (std::size_t i = 0; i < plan_.slices.size(); ++i) {
    const LiveSequence& l = *slice_live_[i];
    const Priority own = class_of(l);
    if (l.tenant != tenant || own != priority || l.tenant_weight != weight) {
      if (tenant != nullptr) tenants_.served(*tenant, priority, tokens, weight);
      tenant = l.tenant;
      priority = own;
      weight = l.tenant_weight;
      tokens = 0;
    }
    tokens += plan_.slices[i].count;
  }
  if (tenant != nullptr) tenants_.served(*tenant, priority, tokens, weight);
  tenants_.end_pass();
}

}  // namespace choir
