#include "runtime/freezing.h"

#include <algorithm>
#include <utility>

namespace choir {

FrozenSequence freeze(LiveSequence&& live, Instant now) {
  FrozenSequence frozen;
  const Instant deadline = live.request->deadline;
  frozen.value = std::move(live.value);
  frozen.value.deadline_left_ns =
      deadline == Instant{} ? 0 : std::max<std::int64_t>(1, (deadline - now).count());
  frozen.gated = live.gated;
  frozen.begun = live.begun;
  frozen.lifted = live.lifted;
  frozen.age_ns = std::max<std::int64_t>(0, (now - live.arrived).count());
  frozen.idle_ns = std::max<std::int64_t>(0, (now - live.last_progress).count());
  if (live.held_back) frozen.behind_ns = std::max<std::int64_t>(0, (now - *live.held_back).count());
  frozen.text = std::move(live.text);
  frozen.usage = live.usage;
  frozen.first_token_ns = live.first_token.count();
  frozen.conversation = live.conversation;
  if (!live.kv.empty()) {
    frozen.kv = std::move(live.kv);
    frozen.kv_tokens = live.kv_tokens;
    frozen.kv_use = live.kv_use;
    frozen.reusing = live.reusing;
  }
  return frozen;
}

std::unique_ptr<LiveSequence> thaw(FrozenSequence&& frozen, std::shared_ptr<RequestState> request,
                                   Instant now) {
  auto live = std::make_unique<LiveSequence>();
  live->value = std::move(frozen.value);
  live->value.deadline_left_ns = 0;  // the request has its deadline
  live->request = std::move(request);
  live->gated = frozen.gated;
  live->begun = frozen.begun;
  live->lifted = frozen.lifted;
  live->arrived = now + Nanos(-frozen.age_ns);
  live->last_progress = now + Nanos(-frozen.idle_ns);
  if (frozen.behind_ns >= 0) live->held_back = now + Nanos(-frozen.behind_ns);
  live->text = std::move(frozen.text);
  live->usage = frozen.usage;
  live->first_token = Nanos(frozen.first_token_ns);
  live->conversation = frozen.conversation;
  live->kv = std::move(frozen.kv);
  live->kv_tokens = frozen.kv_tokens;
  live->kv_use = frozen.kv_use;
  live->reusing = frozen.reusing;
  return live;
}

FrozenEmbedding freeze_embedding(RequestState& request) {
  EmbedWork& work = *request.embedding;
  return {.request = request.id,
          .texts = std::move(work.texts),
          .embeddings = std::move(work.embeddings),
          .next = work.next,
          .gated = request.awaited.load()};
}

void thaw_embedding(FrozenEmbedding&& frozen, RequestState& request) {
  EmbedWork& work = *request.embedding;
  work.texts = std::move(frozen.texts);
  work.embeddings = std::move(frozen.embeddings);
  work.next = static_cast<std::size_t>(frozen.next);
  request.awaited.store(frozen.gated);
}

void freeze_holds(const Hold& hold, Instant now, FrozenExecutor& frozen) {
  frozen.let_go = hold.let_go;
  for (const Lease& lease : hold.leases)
    frozen.leases.push_back(
        {.tenant = lease.tenant,
         .left_ns = lease.until == kForEver
                        ? -1
                        : std::max<std::int64_t>(0, (lease.until - now).count())});
}

Hold thaw_holds(const FrozenExecutor& frozen, Instant now) {
  Hold hold{.leases = {}, .let_go = frozen.let_go};
  for (const FrozenLease& lease : frozen.leases)
    hold.leases.push_back({.tenant = lease.tenant,
                           .until = lease.left_ns < 0 ? kForEver : now + Nanos(lease.left_ns)});
  return hold;
}

FrozenCounts freeze(const ExecutorStats& stats, double compute_seconds) {
  return {.steps = stats.steps.load(),
          .prompt_tokens = stats.prompt_tokens.load(),
          .output_tokens = stats.output_tokens.load(),
          .requests_done = stats.requests_done.load(),
          .requests_failed = stats.requests_failed.load(),
          .preemptions = stats.preemptions.load(),
          .aborts = stats.aborts.load(),
          .reused_tokens = stats.reused_tokens.load(),
          .seconds_per_prompt_token = stats.seconds_per_prompt_token.load(),
          .seconds_per_output_token = stats.seconds_per_output_token.load(),
          .compute_seconds = compute_seconds};
}

void add(const FrozenCounts& counts, ExecutorStats& stats) {
  stats.steps += counts.steps;
  stats.prompt_tokens += counts.prompt_tokens;
  stats.output_tokens += counts.output_tokens;
  stats.requests_done += counts.requests_done;
  stats.requests_failed += counts.requests_failed;
  stats.preemptions += counts.preemptions;
  stats.aborts += counts.aborts;
  stats.reused_tokens += counts.reused_tokens;
  // Measured on the same model; what is measured here replaces it soon.
  if (stats.seconds_per_prompt_token.load() <= 0)
    stats.seconds_per_prompt_token.store(counts.seconds_per_prompt_token);
  if (stats.seconds_per_output_token.load() <= 0)
    stats.seconds_per_output_token.store(counts.seconds_per_output_token);
}

}  // namespace choir
