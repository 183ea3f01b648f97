// Active requests as others may see them. Nothing here waits for a lane: the numbers are those that
// lanes leave in each RequestState, and the lock of requests is held only while pointers are
// copied.
#include <algorithm>

#include "policy/place.h"
#include "policy/turn.h"
#include "runtime/runtime.h"

namespace choir {

// What all requests of an executor have in common.
struct Runtime::ExecutorSight {
  std::string name;
  bool loaded = false;
  bool suspended = false;
  Batching batching = Batching::kContinuous;
  std::int32_t sequences_max = 1;
  std::int32_t running = 0;
  double seconds_per_prompt_token = 0;  // 0: not measured
  double seconds_per_output_token = 0;
};

std::map<ExecutorId, Runtime::ExecutorSight> Runtime::executor_sights() const {
  const auto activities = active_.activities();
  std::map<ExecutorId, ExecutorSight> sights;
  for (const ExecutorRow& row : table_.rows()) {
    const auto activity = activities.find(row.id);
    sights.emplace(
        row.id,
        ExecutorSight{.name = row.config.name,
                      .loaded = row.executor != nullptr,
                      .suspended = activity != activities.end() && activity->second.suspended,
                      .batching = row.config.batching,
                      .sequences_max = row.config.sequences_max,
                      .running = row.stats->running.load(),
                      .seconds_per_prompt_token = row.stats->seconds_per_prompt_token.load(),
                      .seconds_per_output_token = row.stats->seconds_per_output_token.load()});
  }
  return sights;
}

bool Runtime::is_others_turn(const RequestState& state) const {
  return rules_->one_request.load() && rules_->turn_of.load() != state.id;
}

namespace {

std::optional<double> known(const std::atomic<double>& seconds) {
  const double value = seconds.load();
  return value >= 0 ? std::optional(value) : std::nullopt;
}

}  // namespace

std::vector<RequestInfo> Runtime::requests() const {
  const auto states = active_.requests();
  const auto sights = executor_sights();
  const Instant now = clock_.now();
  std::vector<RequestInfo> infos;
  infos.reserve(states.size());
  for (const auto& state : states) {
    const auto found = sights.find(state->executor());
    if (found == sights.end()) continue;  // it has just moved to another node
    const ExecutorSight& executor = found->second;
    const RequestProgress& progress = state->progress;
    const std::int32_t prompt = progress.prompt_tokens.load();
    const std::int32_t computed = progress.computed.load();
    const Sight sight = sight_of({.ended = state->finished(),
                                  .loaded = executor.loaded,
                                  .awaited = state->awaited.load(),
                                  .suspended = executor.suspended,
                                  .reader_behind = state->held_back.load(),
                                  .others_turn = is_others_turn(*state),
                                  .parked = progress.parked.load(),
                                  .slots_full = executor.running >= executor.sequences_max,
                                  .batching = executor.batching,
                                  .prompt_tokens = prompt,
                                  .computed = computed});
    infos.push_back({.id = state->id,
                     .executor = executor.name,
                     .tenant = state->tenant,
                     .priority = state->priority,
                     .phase = sight.phase,
                     .waits_for = sight.waits_for,
                     .prompt_tokens = prompt,
                     .prompt_tokens_done = std::min(prompt, computed),
                     .output_tokens = progress.output_tokens.load(),
                     .max_tokens = progress.max_tokens.load(),
                     .reused_tokens = progress.reused_tokens.load(),
                     .age_seconds = to_seconds(now - state->submitted),
                     .held_seconds = progress.held_seconds.load(),
                     .queue_seconds = known(progress.queue_seconds),
                     .first_token_seconds = known(progress.first_token_seconds)});
  }
  return infos;
}

namespace {

// Of compute, at the measured speeds; one that is not measured counts as the other.
template <class ExecutorSight>
double seconds_left(const RequestProgress& progress, const ExecutorSight& executor) {
  const double prompt_speed = executor.seconds_per_prompt_token;
  const double output_speed = executor.seconds_per_output_token;
  const std::int32_t prompt = progress.prompt_tokens.load() - progress.computed.load();
  const std::int32_t output = progress.max_tokens.load() - progress.output_tokens.load();
  return std::max(prompt, 0) * (prompt_speed > 0 ? prompt_speed : output_speed) +
         std::max(output, 0) * (output_speed > 0 ? output_speed : prompt_speed);
}

}  // namespace

Result<QueuePlace> Runtime::place(RequestId id) const {
  const auto states = active_.requests();
  const auto self = std::ranges::lower_bound(states, id, {}, [](const auto& s) { return s->id; });
  const auto sights = executor_sights();
  if (self == states.end() || (*self)->id != id || !sights.contains((*self)->executor()))
    return fail(Code::kNotFound,
                "no active request of this node has the id " + std::to_string(id.value));
  const ExecutorId own = (*self)->executor();
  const ExecutorSight& executor = sights.at(own);
  const bool one_request = rules_->one_request.load();
  const bool classes = rules_->classes.load();
  const Instant now = clock_.now();
  bool measured = executor.loaded && !executor.suspended && !(*self)->awaited.load();
  std::vector<PlaceView> rows;
  Priority best = Priority::kLow;  // ageing lifts to it and not beyond, as in the executor
  for (const auto& state : states) {
    const auto found = sights.find(state->executor());
    if (found == sights.end() || (found->first != own && !one_request)) continue;
    if (state->finished() && state != *self) continue;
    const ExecutorSight& sight = found->second;
    const RequestProgress& progress = state->progress;
    const bool begun = state->finished() || progress.computed.load() > 0 || progress.parked.load();
    // Those that wait for something else do not go before it.
    const bool stands = state->awaited.load() || sight.suspended || !sight.loaded;
    if (!begun && stands && state != *self) continue;
    best = std::min(best, state->priority);
    measured =
        measured && (sight.seconds_per_prompt_token > 0 || sight.seconds_per_output_token > 0);
    rows.push_back(
        {.id = state->id,
         .priority = classes ? aged(state->priority, now - state->submitted, config_.age_step)
                             : Priority::kNormal,
         .tenant = state->tenant,
         .arrived = state->submitted,
         .begun = begun,
         .seconds_left = seconds_left(progress, sight)});
  }
  if (classes)
    for (PlaceView& row : rows) row.priority = std::max(row.priority, best);
  const bool one_at_a_time = one_request || executor.batching == Batching::kOneAtATime;
  QueuePlace place = place_of(rows, id, one_at_a_time ? 1 : executor.sequences_max);
  const bool begun = std::ranges::find(rows, id, &PlaceView::id)->begun;
  if (!measured && !begun) place.seconds.reset();
  return place;
}

}  // namespace choir
