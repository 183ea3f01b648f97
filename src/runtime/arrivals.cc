#include "runtime/arrivals.h"

#include <chrono>
#include <optional>
#include <utility>

#include "base/caught.h"
#include "runtime/executor.h"
#include "runtime/prompts.h"

namespace choir {
namespace {

// Even numbers, so that none is Background::kLoads.
Workers::Key key_of(ExecutorId id) { return static_cast<Workers::Key>(id.value) * 2; }

// A file that cannot be loaded is not tried again for every request that comes; but it may be
// mended, so it is tried again soon.
constexpr Nanos kFirstPause = std::chrono::seconds(5);
constexpr Nanos kLongPause = std::chrono::seconds(30);

// Whether trying again at once may end otherwise: others may have left memory.
bool may_pass(Code code) { return code == Code::kOutOfMemory || code == Code::kCancelled; }

}  // namespace

void Arrivals::look_at(ExecutorId id) {
  p_.background.post(key_of(id), [this, id] { serve(id); });
}

void Arrivals::serve(ExecutorId id) {
  p_.active.end_arrivals(id);
  const auto row = p_.table.row(id);
  if (!row) return;
  if (row->executor)
    hand_over(*row->executor);
  else if (p_.active.has_arrivals(id))
    load_for_requests(*row);
}

void Arrivals::hand_over(Executor& executor) {
  for (Arrival& arrival : p_.active.take_arrivals(executor.id())) {
    if (arrival.prepared)
      p_.active.admit(executor, arrival.request,
                      caught([&] { return mail_of(executor, arrival); }));
    else
      p_.active.admit_embedding(executor, arrival.request, caught([&] {
                                  return make_embedding(executor, arrival.embed, *arrival.request);
                                }));
  }
}

Result<Executor::Mail> Arrivals::mail_of(const Executor& executor, Arrival& arrival) {
  Prepared& prepared = *arrival.prepared;
  CHOIR_CHECK_OK(must_generate(executor));
  std::vector<TokenId>& tokens = prepared.tokens_;
  KvState kv = std::move(arrival.continuation.kv);
  // The file may have been another one when they were made.
  if (!tokens.empty() && prepared.fingerprint_ != executor.model().fingerprint()) {
    tokens.clear();
    kv = {};
  }
  if (tokens.empty() && arrival.late.open) {
    Opening opening = CHOIR_TRY(arrival.late.open(executor));
    tokens = std::move(opening.tokens);
    if (!opening.kv.blob.empty()) kv = std::move(opening.kv);
  } else if (tokens.empty()) {
    tokens = CHOIR_TRY(prompt_tokens(executor, prepared.request_));
  }
  CHOIR_CHECK_OK(fits_in_context(executor, tokens.size()));
  Executor::Mail mail = make_mail(executor, prepared.request_, arrival.request, std::move(tokens));
  mail.conversation = arrival.continuation.key;
  mail.kv = std::move(kv);
  return mail;
}

FrozenArrival Arrivals::freeze(Arrival&& arrival) {
  if (!arrival.prepared)
    return {.id = arrival.request->id, .request = {}, .embed = std::move(arrival.embed)};
  Prepared& prepared = *arrival.prepared;
  const bool late = static_cast<bool>(arrival.late.open);
  arrival.request->late = std::move(arrival.late.open);
  return {.id = arrival.request->id,
          .request = std::move(prepared.request_),
          .tokens = std::move(prepared.tokens_),
          .model_fingerprint = std::move(prepared.fingerprint_),
          .conversation = arrival.continuation.key,
          .kv = std::move(arrival.continuation.kv),
          .late = late,
          .awaited = arrival.late.awaited};
}

Arrival Arrivals::thaw(FrozenArrival&& frozen, std::shared_ptr<RequestState> request) {
  if (frozen.embed) return {.request = std::move(request), .embed = std::move(*frozen.embed)};
  Prepared prepared(std::move(frozen.request));
  prepared.tokens_ = std::move(frozen.tokens);
  prepared.fingerprint_ = std::move(frozen.model_fingerprint);
  Continuation continuation{.key = frozen.conversation, .kv = std::move(frozen.kv)};
  LatePrompt late{.open = std::exchange(request->late, nullptr), .awaited = frozen.awaited};
  return {.request = std::move(request),
          .prepared = std::move(prepared),
          .continuation = std::move(continuation),
          .late = std::move(late)};
}

template <class Join>
std::shared_ptr<LoadFlight> Arrivals::flight_of(const ExecutorRow& row, Join join) {
  return state_.with([&](State& s) {
    auto& flight = s.flights[row.id];
    if (flight && join(*flight)) return flight;
    flight = std::make_shared<LoadFlight>(row.id, row.config.name);
    join(*flight);
    changes_.count();
    p_.background.post(Background::kLoads, [this, flight = flight] { fly(flight); });
    return flight;
  });
}

Result<LoadTicket> Arrivals::begin_load(std::string_view name, LoadWatch watch) {
  const ExecutorRow row = CHOIR_TRY(p_.table.row(name));
  CHOIR_CHECK_OK(p_.active.not_closing());
  if (watch.heed_failures)
    if (auto failure = recent_failure(row.id)) return tl::unexpected(*std::move(failure));
  return LoadTicket(flight_of(row, [&](LoadFlight& f) { return f.join(watch.on_end); }));
}

std::optional<double> Arrivals::loading(ExecutorId id) const {
  const auto flight = state_.with([&](const State& s) -> std::shared_ptr<LoadFlight> {
    const auto found = s.flights.find(id);
    return found == s.flights.end() ? nullptr : found->second;
  });
  if (!flight) return std::nullopt;
  return flight->state().fraction;
}

std::optional<Error> Arrivals::recent_failure(ExecutorId id) const {
  const Instant now = p_.clock.now();
  return state_.with([&](const State& s) -> std::optional<Error> {
    const auto found = s.failures.find(id);
    if (found == s.failures.end() || now >= found->second.until) return std::nullopt;
    return found->second.error;
  });
}

void Arrivals::load_for_requests(const ExecutorRow& row) {
  if (const auto known = recent_failure(row.id)) return p_.active.fail_arrivals(row.id, *known);
  (void)flight_of(row, [](LoadFlight& f) { return f.join_for_good(); });
}

// The flight is not in the map any more when it has ended: a request that comes then makes another
// one.
void Arrivals::fly(const std::shared_ptr<LoadFlight>& flight) {
  Status loaded = fail(Code::kCancelled, "nobody waits for the load any more");
  if (flight->begin()) {
    changes_.count();
    const ExecutorId id = flight->executor;
    const auto goes_on = [&](float fraction) {
      const bool wanted = flight->progress(fraction);
      changes_.count();
      return wanted && (p_.active.not_closing().has_value() || p_.active.has_arrivals(id));
    };
    loaded = caught([&] { return p_.residents.load(flight->executor_name, goes_on); });
  }
  remember(flight->executor, loaded);
  state_.with([&](State& s) {
    const auto found = s.flights.find(flight->executor);
    if (found != s.flights.end() && found->second == flight) s.flights.erase(found);
    changes_.count();
  });
  // A load that was given up fails no request; serve() makes another one for those that came since.
  if (!loaded && flight->for_good()) p_.active.fail_arrivals(flight->executor, loaded.error());
  flight->end(std::move(loaded), changes_);
  serve(flight->executor);
}

void Arrivals::remember(ExecutorId id, const Status& loaded) {
  state_.with([&](State& s) {
    if (loaded || may_pass(loaded.error().code)) {
      s.failures.erase(id);
      return;
    }
    const auto known = s.failures.find(id);
    const Nanos pause = known == s.failures.end() ? kFirstPause : kLongPause;
    s.failures.insert_or_assign(id,
                                Failure{.error = loaded.error(), .until = p_.clock.now() + pause});
    // Executors that have been removed leave nothing behind.
    std::erase_if(s.failures, [&](const auto& entry) { return !p_.table.row(entry.first); });
  });
}

}  // namespace choir
