#include "runtime/pass_runner.h"

#include <algorithm>

namespace choir {

PassRunner::PassRunner(const Parts& parts) : p_(parts) {
  sample_row_ = [this](int index, int thread) {
    Row& row = rows_[static_cast<std::size_t>(index)];
    const Sequence& s = row.live->value;
    try {
      row.token =
          sample(p_.memory.engine().logits(row.slice), s.sampling, s.tokens,
                 {s.sampling.seed, s.stream_index, static_cast<std::uint32_t>(s.tokens.size())},
                 sampler_scratch_[static_cast<std::size_t>(thread)]);
    } catch (...) {  // on a thread of the engine
      row.threw = true;
    }
  };
}

ComputedRows PassRunner::compute(const StepPlan& plan, Pool& lane) {
  const std::int32_t tokens = plan.tokens();
  const Instant began = p_.facts.clock().now();
  const int threads = p_.speeds.choose_threads(lane.threads(), tokens, began);
  Pool& pool = lane.narrowed(threads);
  p_.facts.counters().threads.store(threads, std::memory_order_relaxed);
  if (!run_pass(plan, pool)) return {};
  sample_rows(plan, pool, began);
  const Instant ended = p_.facts.clock().now();
  p_.speeds.took(lane.threads(), tokens, threads, ended - began, ended);
  return computed_;
}

void PassRunner::find_slices(const StepPlan& plan) {
  slice_live_.clear();
  slice_tokens_.clear();
  prompts_.clear();
  std::size_t next = 0;  // plans mostly name them in the order in which they are kept
  for (const Slice& slice : plan.slices) {
    const std::size_t at = p_.live.index_of(slice.seq, next);
    next = at + 1;
    LiveSequence& l = *p_.live.awake()[at];
    Answers::reserve(l);
    slice_live_.push_back(&l);
    if (slice.count > 1) prompts_.push_back(l.request.get());
    slice_tokens_.push_back(
        std::span(l.value.tokens)
            .subspan(static_cast<std::size_t>(slice.begin), static_cast<std::size_t>(slice.count)));
  }
}

bool PassRunner::run_pass(const StepPlan& plan, Pool& pool) {
  find_slices(plan);
  p_.memory.evict_cached_for(plan);
  p_.control.begin(prompts_);
  Engine& engine = p_.memory.engine();
  const Instant began = p_.facts.clock().now();
  engine.attach(pool);
  const Result<RunOutcome> outcome = engine.run(plan, slice_tokens_, p_.control.signal());
  engine.detach();
  const Instant ended = p_.facts.clock().now();
  const bool aborted = outcome && *outcome == RunOutcome::kAborted;
  p_.control.end(aborted ? PassControl::Ended::kAborted : PassControl::Ended::kOtherwise);
  if (outcome && *outcome == RunOutcome::kDone) {
    count_pass(plan, pool.threads(), began, ended);
    return true;
  }

  if (!outcome) p_.memory.forget_lost(p_.live.all());
  for (LiveSequence* l : slice_live_) {
    p_.memory.look_again(*l);
    if (!outcome) p_.answers.finish(*l, Finish::kFailed, outcome.error(), ended);
  }
  if (aborted) p_.facts.counters().aborts.fetch_add(1, std::memory_order_relaxed);
  if (outcome && *outcome == RunOutcome::kNoCells) p_.memory.free_some(p_.live.all());
  return false;
}

void PassRunner::count_pass(const StepPlan& plan, int threads, Instant began, Instant ended) {
  std::int32_t tokens = 0;
  std::int32_t prompt_tokens = 0;
  Priority best = Priority::kLow;
  for (std::size_t i = 0; i < plan.slices.size(); ++i) {
    const std::int32_t count = plan.slices[i].count;
    LiveSequence& l = *slice_live_[i];
    p_.memory.computed(l, l.computed + count);
    l.last_progress = ended;
    l.request->progress.computed.store(l.computed, std::memory_order_relaxed);
    if (l.request->progress.parked.load(std::memory_order_relaxed)) l.end_parked(began);
    if (l.usage.output_tokens == 0) l.first_token += ended - began;
    if (!l.begun) {
      l.begun = true;
      l.usage.queue_seconds = to_seconds(began - l.request->submitted);
      l.request->progress.queue_seconds.store(l.usage.queue_seconds, std::memory_order_relaxed);
    }
    tokens += count;
    if (count > 1) prompt_tokens += count;
    best = std::min(best, l.value.priority);
  }
  computed_ = {prompt_tokens, tokens - prompt_tokens, best};
  // Before the tokens: a client that has its first one sees that its request runs.
  const std::int32_t running = p_.memory.held_by_sequences().slots;
  p_.facts.count_requests(running, static_cast<std::int32_t>(p_.live.all().size()) - running);
  count_tenants(plan);
  p_.planner.count_standing_back(ended);
  ExecutorStats& stats = p_.facts.counters();
  stats.steps.fetch_add(1, std::memory_order_relaxed);
  stats.prompt_tokens.fetch_add(static_cast<std::uint64_t>(prompt_tokens),
                                std::memory_order_relaxed);
  p_.speeds.count(threads, tokens, prompt_tokens, to_seconds(ended - began));
}

void PassRunner::count_tenants(const StepPlan& plan) {
  p_.planner.count_wanting();
  Tenants& tenants = p_.live.tenants();
  // Neighbours are mostly of one tenant, class and weight: what they had is told together.
  Tenants::Account* tenant = nullptr;
  Priority priority = Priority::kNormal;
  double weight = 1;
  std::int32_t tokens = 0;
  for (std::size_t i = 0; i < plan.slices.size(); ++i) {
    const LiveSequence& l = *slice_live_[i];
    const Priority own = l.class_now(p_.facts.node());
    if (l.tenant != tenant || own != priority || l.tenant_weight != weight) {
      if (tenant != nullptr) tenants.served(*tenant, priority, tokens, weight);
      tenant = l.tenant;
      priority = own;
      weight = l.tenant_weight;
      tokens = 0;
    }
    tokens += plan.slices[i].count;
  }
  if (tenant != nullptr) tenants.served(*tenant, priority, tokens, weight);
  tenants.end_pass();
}

void PassRunner::sample_rows(const StepPlan& plan, Pool& pool, Instant began) {
  rows_.clear();
  for (std::size_t i = 0; i < plan.slices.size(); ++i)
    if (plan.slices[i].sample) rows_.push_back({slice_live_[i], i, std::nullopt, false});
  if (rows_.empty()) return tell_step(plan, began);
  sampler_scratch_.resize(
      std::max(sampler_scratch_.size(), static_cast<std::size_t>(pool.threads())));
  pool.for_each(static_cast<int>(rows_.size()), sample_row_);
  const Instant now = p_.facts.clock().now();
  // Counted before any end is told: a caller that has its answer finds its tokens in the counts.
  const auto drawn =
      std::ranges::count_if(rows_, [](const Row& row) { return row.token.has_value(); });
  p_.facts.counters().output_tokens.fetch_add(static_cast<std::uint64_t>(drawn),
                                              std::memory_order_relaxed);
  tell_step(plan, began);
  for (const Row& row : rows_)
    if (row.token)
      p_.answers.take_token(*row.live, *row.token, now);
    else if (row.threw)
      p_.answers.finish(*row.live, Finish::kFailed,
                        Error{Code::kOutOfMemory, "no memory to draw a token"}, now);
    else
      p_.answers.fail_without_token(*row.live, now);
}

void PassRunner::tell_step(const StepPlan& plan, Instant began) {
  const Observing* observing = p_.facts.rules().observing;
  if (observing == nullptr) return;
  StepDone step{.executor = p_.facts.name(), .seconds = to_seconds(p_.facts.clock().now() - began)};
  parts_.clear();
  const LiveSequence* before = nullptr;
  for (std::size_t i = 0; i < plan.slices.size(); ++i) {
    const LiveSequence& l = *slice_live_[i];
    ++step.rows.at(static_cast<std::size_t>(l.value.priority));
    if (before != nullptr && before->tenant == l.tenant &&
        before->value.priority == l.value.priority)
      ++parts_.back().rows;
    else
      count_part(parts_, l.request->tenant, l.value.priority);
    before = &l;
    if (plan.slices[i].count > 1) step.prompt_tokens += plan.slices[i].count;
  }
  for (const Row& row : rows_)
    if (row.token) ++step.output_tokens;
  step.parts = parts_;
  observing->tell([&](Observer& observer) { observer.on_step(step); });
}

}  // namespace choir
