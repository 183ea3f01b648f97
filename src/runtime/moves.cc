#include "runtime/moves.h"

#include <algorithm>
#include <utility>

#include "runtime/arrivals.h"
#include "runtime/freezing.h"

namespace choir {
namespace {

// A message of a move is late by a few moves of that executor at most.
constexpr std::size_t kEndsRemembered = 16;
// Of executors that came here once. Beyond it those whose last move is the oldest are forgotten.
constexpr std::size_t kComingMax = 4096;

tl::unexpected<Error> no_such_move(const MoveKey& key) {
  return fail(Code::kNotFound, "executor '" + key.executor + "' is in no move of epoch " +
                                   std::to_string(key.epoch.value) + " here");
}

tl::unexpected<Error> not_expected(const MoveKey& key) {
  return fail(Code::kCancelled, "executor '" + key.executor + "' is not expected in epoch " +
                                    std::to_string(key.epoch.value) + ": that move has ended");
}

}  // namespace

std::optional<Moves::Coming::End> Moves::Coming::end_of(Epoch move) const {
  const auto found = over.find(move);
  return found == over.end() ? std::nullopt : std::optional(found->second);
}

Epoch Moves::Coming::newest() const {
  return over.empty() ? epoch : std::max(epoch, over.rbegin()->first);
}

void Moves::Coming::end(Epoch move, End how) {
  over.emplace(move, how);
  if (over.size() > kEndsRemembered) over.erase(over.begin());
}

void Moves::limit(State& s, const std::string& but) {
  if (s.coming.size() <= kComingMax) return;
  const auto oldest = std::ranges::min_element(s.coming, {}, [&](const auto& entry) {
    const Coming& c = entry.second;
    return std::pair(c.epoch != Epoch{} || entry.first == but, c.newest());
  });
  if (oldest->second.epoch == Epoch{} && oldest->first != but) s.coming.erase(oldest);
}

// ---- where the executor is

Result<ExecutorMove> Moves::begin(std::string_view executor, NodeId to) {
  ExecutorRow row = CHOIR_TRY(p_.table.row(executor));
  row.executor = nullptr;
  return state_.change([&](State& s) -> Result<ExecutorMove> {
    Leaving& leaving = s.leaving[row.config.name];
    if (leaving.phase != Leaving::Phase::kBegun && leaving.to != to)
      return fail(Code::kOverloaded, "executor '" + row.config.name +
                                         "' is in a move to another node, which may have it; move "
                                         "it there to end that");
    const bool under_way = leaving.phase != Leaving::Phase::kBegun ||
                           (leaving.to == to && leaving.move.config == row.config);
    if (under_way && leaving.move.epoch != Epoch{}) return leaving.move;
    const Epoch epoch{std::max(row.epoch.value + 1, directory_->next_id().value)};
    leaving = {.move = {.epoch = epoch, .config = row.config}, .to = to, .row = row};
    return leaving.move;
  });
}

template <class Take>
auto Moves::when_free(const MoveKey& key, Take take) {
  using Answer = std::invoke_result_t<Take, Leaving*>;
  return *state_.wait([&](State& s) -> std::optional<Answer> {
    const auto found = s.leaving.find(key.executor);
    if (found == s.leaving.end() || found->second.move.epoch != key.epoch) return take(nullptr);
    if (found->second.phase == Leaving::Phase::kBusy) return std::nullopt;
    return take(&found->second);
  });
}

void Moves::end_leaving(const MoveKey& key) {
  state_.change([&](State& s) { s.leaving.erase(key.executor); });
}

Result<std::shared_ptr<FrozenExecutor>> Moves::freeze(const MoveKey& key) {
  struct Found {
    bool any = false;
    Leaving leaving;
  };
  Found found = when_free(key, [](Leaving* leaving) {
    if (leaving == nullptr) return Found{};
    Found taken{.any = true, .leaving = *leaving};
    if (leaving->phase == Leaving::Phase::kBegun) leaving->phase = Leaving::Phase::kBusy;
    return taken;
  });
  if (!found.any) return no_such_move(key);
  Leaving& leaving = found.leaving;
  if (leaving.phase == Leaving::Phase::kFrozen) return leaving.frozen;
  const auto source = p_.residents.take_out(leaving.row);
  if (!source) {
    end_leaving(key);
    return tl::unexpected(source.error());
  }
  leaving.executor = *source;
  leaving.frozen = value_of(leaving, source->get());
  for (const FrozenSequence& s : leaving.frozen->sequences)
    leaving.requests.push_back(s.value.request);
  for (const FrozenEmbedding& e : leaving.frozen->embeddings) leaving.requests.push_back(e.request);
  for (const FrozenArrival& a : leaving.frozen->arrivals) leaving.requests.push_back(a.id);
  leaving.phase = Leaving::Phase::kFrozen;
  auto frozen = leaving.frozen;
  state_.change([&](State& s) { s.leaving[key.executor] = std::move(leaving); });
  return frozen;
}

std::shared_ptr<FrozenExecutor> Moves::value_of(const Leaving& leaving, Executor* source) {
  const Instant now = p_.clock.now();
  auto frozen = std::make_shared<FrozenExecutor>();
  frozen->key = leaving.move.key();
  if (source != nullptr) {
    Executor::Belongings all = source->extract();
    frozen->model_fingerprint = source->model().fingerprint();
    frozen->kept = std::move(all.kept);
    for (auto& live : all.live) frozen->sequences.push_back(choir::freeze(std::move(*live), now));
    for (const auto& request : all.embeddings)
      frozen->embeddings.push_back(freeze_embedding(*request));
  }
  ActiveRequests::Withheld withheld = p_.active.freeze(leaving.row.id);
  frozen->suspended = withheld.suspended;
  for (Arrival& arrival : withheld.arrivals)
    frozen->arrivals.push_back(Arrivals::freeze(std::move(arrival)));
  const auto row = p_.table.row(leaving.row.id);
  frozen->counts = choir::freeze(*leaving.row.stats, row ? row->compute_seconds : 0);
  freeze_holds(p_.leases.copy(leaving.row.id), now, *frozen);
  return frozen;
}

Moves::Thawed Moves::thaw_value(FrozenExecutor& frozen) {
  const Instant now = p_.clock.now();
  Thawed thawed;
  thawed.requests.suspended = frozen.suspended;
  const auto find = [&](RequestId id) { return directory_->find(id); };
  for (FrozenSequence& sequence : frozen.sequences)
    if (auto request = find(sequence.value.request)) {
      thawed.requests.computed.push_back(request);
      thawed.belongings.live.push_back(choir::thaw(std::move(sequence), std::move(request), now));
    }
  for (FrozenEmbedding& embedding : frozen.embeddings)
    if (auto request = find(embedding.request)) {
      thaw_embedding(std::move(embedding), *request);
      thawed.requests.computed.push_back(request);
      thawed.belongings.embeddings.push_back(std::move(request));
    }
  for (FrozenArrival& arrival : frozen.arrivals)
    if (auto request = find(arrival.id))
      thawed.requests.arrivals.push_back(Arrivals::thaw(std::move(arrival), std::move(request)));
  thawed.belongings.kept = std::move(frozen.kept);
  return thawed;
}

Status Moves::thaw(const MoveKey& key) {
  struct Found {
    std::shared_ptr<FrozenExecutor> frozen;
    std::shared_ptr<Executor> executor;
    ExecutorId id;
  };
  const Found found = when_free(key, [](Leaving* leaving) {
    if (leaving == nullptr) return Found{};
    Found taken{leaving->frozen, leaving->executor, leaving->row.id};
    leaving->phase = Leaving::Phase::kBusy;
    return taken;
  });
  if (found.frozen) {
    Thawed thawed = thaw_value(*found.frozen);
    if (found.executor) p_.residents.put_back(found.executor, std::move(thawed.belongings));
    p_.active.thaw(found.id, std::move(thawed.requests.arrivals));
    p_.lanes.ready(found.id, Priority::kCritical);
  }
  state_.change([&](State& s) {
    const auto at = s.leaving.find(key.executor);
    if (at != s.leaving.end() && at->second.move.epoch == key.epoch) s.leaving.erase(at);
  });
  return {};
}

Status Moves::forget(const MoveKey& key) {
  struct Found {
    bool frozen = false;
    std::shared_ptr<Executor> executor;
    ExecutorRow row;
    std::vector<RequestId> requests;
  };
  const Found found = when_free(key, [](Leaving* leaving) {
    if (leaving == nullptr || leaving->phase != Leaving::Phase::kFrozen) return Found{};
    leaving->phase = Leaving::Phase::kBusy;
    return Found{true, leaving->executor, leaving->row, leaving->requests};
  });
  if (!found.frozen) return {};
  p_.active.hand_over(found.row.id, found.requests);
  p_.residents.moved(found.row, found.executor);
  p_.leases.forget(found.row.id);
  // Requests whose end is being told. Those told may want to come in again, which they now can.
  p_.active.wait_none_in(found.row.id);
  end_leaving(key);
  return {};
}

// ---- where it goes

Status Moves::expect(const ExecutorMove& move) {
  const MoveKey key = move.key();
  struct Answer {
    bool begin = false;
    Epoch instead_of = {};  // an earlier move, which is over
    Status status = {};
  };
  const Answer answer = *state_.wait([&](State& s) -> std::optional<Answer> {
    Coming& coming = s.coming[key.executor];
    if (const auto end = coming.end_of(key.epoch))
      return Answer{.status = *end == Coming::End::kAdopted ? Status() : Status(not_expected(key))};
    if (key.epoch < coming.newest()) return Answer{.status = not_expected(key)};
    if (coming.epoch != Epoch{} && !coming.ready) return std::nullopt;
    if (coming.epoch == key.epoch) return Answer{};
    const Epoch earlier = coming.epoch;
    if (earlier != Epoch{}) coming.end(earlier, Coming::End::kWithdrawn);
    coming.epoch = key.epoch;
    coming.ready = false;
    limit(s, key.executor);
    return Answer{.begin = true, .instead_of = earlier};
  });
  if (!answer.begin) return answer.status;
  if (answer.instead_of != Epoch{}) take_away(key.executor);
  Status added = p_.residents.add(move.config, Activity::Door::kAway);
  state_.change([&](State& s) {
    Coming& coming = s.coming[key.executor];
    coming.ready = added.has_value();
    if (added) return;
    coming.epoch = {};
    coming.end(key.epoch, Coming::End::kWithdrawn);
  });
  return added;
}

Status Moves::adopt(FrozenExecutor& frozen) {
  const MoveKey key = frozen.key;
  std::shared_ptr<Executor> heir;
  Status adopted = state_.change([&](State& s) -> Status {
    const auto found = s.coming.find(key.executor);
    if (found == s.coming.end()) return not_expected(key);
    Coming& coming = found->second;
    if (coming.end_of(key.epoch) == Coming::End::kAdopted) return {};
    if (coming.epoch != key.epoch || !coming.ready) return not_expected(key);
    heir = p_.table.loaded(key.executor);
    if (!heir) return not_expected(key);
    if (!frozen.model_fingerprint.empty() &&
        frozen.model_fingerprint != heir->model().fingerprint())
      return fail(Code::kInvalidArgument, "executor '" + key.executor +
                                              "' computes with other weights in its new node: its "
                                              "file is not the same there");
    Thawed thawed = thaw_value(frozen);
    p_.table.change(key.executor, [&](ExecutorRow& row) {
      add(frozen.counts, *row.stats);
      row.compute_seconds += frozen.counts.compute_seconds;
      row.epoch = key.epoch;
      return true;
    });
    const auto all = std::make_shared<Executor::Belongings>(std::move(thawed.belongings));
    p_.active.adopt(*heir, std::move(thawed.requests),
                    [all](Executor& e) { e.adopt(std::move(*all)); });
    coming.epoch = {};
    coming.end(key.epoch, Coming::End::kAdopted);
    return {};
  });
  if (!adopted || !heir) return adopted;
  p_.lanes.ready(heir->id(), Priority::kCritical);
  p_.leases.take_over(heir->id(), thaw_holds(frozen, p_.clock.now()));
  return adopted;
}

Result<NodeSeam::Withdrawn> Moves::withdraw(const MoveKey& key) {
  using Withdrawn = NodeSeam::Withdrawn;
  struct Answer {
    bool begin = false;
    Result<Withdrawn> result = Withdrawn::kYes;
  };
  const Answer answer = *state_.wait([&](State& s) -> std::optional<Answer> {
    Coming& coming = s.coming[key.executor];
    if (const auto end = coming.end_of(key.epoch))
      return Answer{.result =
                        *end == Coming::End::kAdopted ? Withdrawn::kAdopted : Withdrawn::kYes};
    if (coming.epoch == key.epoch && !coming.ready) return std::nullopt;
    if (coming.over.size() == kEndsRemembered && key.epoch < coming.over.begin()->first)
      return Answer{.result = no_such_move(key)};
    if (coming.epoch != key.epoch) {
      coming.end(key.epoch, Coming::End::kWithdrawn);
      limit(s, key.executor);
      return Answer{};
    }
    coming.ready = false;
    return Answer{.begin = true};
  });
  if (!answer.begin) return answer.result;
  take_away(key.executor);
  state_.change([&](State& s) {
    Coming& coming = s.coming[key.executor];
    coming.epoch = {};
    coming.end(key.epoch, Coming::End::kWithdrawn);
  });
  return Withdrawn::kYes;
}

// Nothing came in: its door was closed since it was made.
void Moves::take_away(const std::string& name) {
  if (const auto row = p_.table.row(name)) p_.residents.remove(*row);
}

}  // namespace choir
