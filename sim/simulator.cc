#include "sim/simulator.h"

#include <algorithm>
#include <map>
#include <optional>
#include <random>

#include "base/check.h"
#include "engine/text.h"
#include "runtime/dispatcher.h"
#include "runtime/executor.h"
#include "runtime/request_directory.h"
#include "runtime/schedule.h"
#include "sim/fake_engine.h"

namespace choir::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// The longest that anybody may wait: three classes of ageing, then a turn of everybody at its
// level.
constexpr Nanos kAgeStep = milliseconds(20);
constexpr Nanos kWaitMax = milliseconds(400);

struct Arrival {
  Instant at;
  std::size_t executor = 0;
  Sequence sequence;
  Nanos deadline{0};
  std::optional<Instant> cancel_at;
  bool streams = false;
};

struct Simulation final : RequestHome {
  explicit Simulation(const SimOptions& wanted);
  void run();
  void drained(const RequestState& request) override;
  void ended(const RequestState& request) override;
  void cancelled(const RequestState& request) override;
  bool post(const RequestState&, const RequestJob&) override { return false; }  // nobody does

  int upto(int n) { return 1 + static_cast<int>(rng() % static_cast<unsigned>(n)); }
  bool one_in(int n) { return rng() % static_cast<unsigned>(n) == 0; }
  void broken(const std::string& what) {
    if (report.broken.size() < 20)
      report.broken.push_back("seed " + std::to_string(options.seed) + ": " + what);
  }

  void make_executors();
  void make_arrivals();
  Sequence random_sequence(std::size_t index);
  void arrive(const Arrival& arrival);
  void do_cancels();
  void give_turns();
  void end_turn(int lane);
  void migrate_some(Executor& executor);
  void check_layout();
  void check_end();
  std::optional<Instant> next_event() const;

  const SimOptions options;
  std::mt19937 rng;
  SimReport report;
  ManualClock clock;
  const int cores;
  Schedule schedule;
  Dispatcher dispatcher;
  ExecutorRules rules;

  std::shared_ptr<const Model> model = std::make_shared<const FakeModel>();
  std::vector<std::unique_ptr<Executor>> executors;
  std::vector<FakeEngine*> engines;
  std::vector<Arrival> arrivals;  // by time
  std::size_t arrived = 0;
  std::vector<std::pair<Instant, std::shared_ptr<RequestState>>> cancels;  // by time
  std::size_t cancels_done = 0;
  std::map<RequestId, std::shared_ptr<RequestState>> active;
  std::map<RequestId, Arrival> by_request;
  std::map<RequestId, Completion> completions;
  std::map<std::size_t, Instant> wake_at;
  struct Busy {
    Turn turn;
    Instant ends;
    TurnResult result;
  };
  std::map<int, Busy> busy;
  std::map<std::size_t, Instant> runnable_since;
};

Simulation::Simulation(const SimOptions& wanted)
    : options(wanted),
      rng(wanted.seed),
      cores(upto(4)),
      schedule(cores, {.age_step = kAgeStep, .credit_seconds_max = 0.02},
               wanted.seed % 3 == 0 ? upto(cores) : 0) {  // some have fewer lanes than cores
  rules.node->quantum = milliseconds(2);
  rules.age_step = kAgeStep;
  rules.stalled = milliseconds(50);
  rules.stream_bytes_max = 24;
  make_executors();
  make_arrivals();
}

void Simulation::drained(const RequestState& r) {
  if (!r.held_back.load()) return;
  schedule.ready(r.executor(), Priority::kNormal, clock.now());
  runnable_since.try_emplace(r.executor().value, clock.now());
}

void Simulation::ended(const RequestState& r) {
  if (active.erase(r.id) == 0) broken("a request ended twice");
}

void Simulation::make_executors() {
  const int count = upto(4);
  for (int i = 0; i < count; ++i) {
    const EngineConfig engine_config{.context_tokens = 64 + upto(160),
                                     .sequences_max = upto(6),
                                     .batch_tokens_max = 6 + upto(40)};
    FakeRules fake;
    if (options.faults) {
      // 100 tokens in passes of 7 can be computed again before the next time.
      fake.no_cells_every = one_in(2) ? static_cast<std::uint32_t>(15 + upto(20)) : 0;
      fake.fail_every = one_in(4) ? static_cast<std::uint32_t>(49 + upto(50)) : 0;
    }
    if (one_in(3)) fake.window = 16;
    if (one_in(4)) fake.fronts = one_in(2) ? Fronts::kWhole : Fronts::kNone;
    auto engine = std::make_unique<FakeEngine>(model, engine_config, fake, &clock);
    engine->on_tick = [this] { do_cancels(); };
    engines.push_back(engine.get());
    ExecutorConfig config;
    config.name = "executor " + std::to_string(i);
    config.context_tokens = engine_config.context_tokens;
    config.sequences_max = engine_config.sequences_max;
    config.park_bytes_max = one_in(2) ? 0 : 600;
    config.prefix_cache = !one_in(8);
    executors.push_back(std::make_unique<Executor>(
        ExecutorId{static_cast<std::uint64_t>(i)}, config, model, std::move(engine), rules, clock,
        [this](std::shared_ptr<RequestState> r) { dispatcher.notify(std::move(r)); }));
    schedule.add(executors.back()->id(), 0.5 * upto(4));
  }
}

Sequence Simulation::random_sequence(std::size_t index) {
  Sequence s;
  s.id = {index + 1};
  s.request = {index + 1};
  const int prompt = one_in(4) ? upto(60) : upto(12);
  const int front = one_in(2) ? upto(40) : 0;  // as with a system message that all have
  for (int i = 0; i < front; ++i) s.tokens.push_back(i * 7 % 90);
  for (int i = 0; i < std::min(prompt, 60 - front); ++i)
    s.tokens.push_back(static_cast<TokenId>(rng() % 90));
  s.prompt_tokens = s.known_tokens();
  s.max_tokens = upto(40);
  s.sampling.temperature = one_in(3) ? 0.0F : 0.9F;
  s.sampling.top_k = upto(20);
  s.sampling.seed = rng();
  if (one_in(4)) s.sampling.repeat_penalty = 1.2F;
  if (one_in(3)) s.stop = {std::string(1, static_cast<char>(33 + rng() % 80))};
  s.priority = static_cast<Priority>(rng() % 4);
  s.tenant = one_in(2) ? "" : std::string(1, static_cast<char>('a' + rng() % 3));
  return s;
}

void Simulation::make_arrivals() {
  const int count = upto(30);
  Instant at;
  for (int i = 0; i < count; ++i) {
    at = at + microseconds(one_in(3) ? 0 : upto(3000));
    Arrival a;
    a.at = at;
    a.executor = rng() % executors.size();
    a.sequence = random_sequence(static_cast<std::size_t>(i));
    const auto most = executors[a.executor]->sequence_tokens_max();
    a.sequence.max_tokens = std::min(a.sequence.max_tokens, most - a.sequence.prompt_tokens);
    if (one_in(6)) a.deadline = microseconds(upto(20'000));
    if (one_in(6)) a.cancel_at = at + microseconds(upto(10'000));
    a.streams = options.slow_readers && one_in(2);
    arrivals.push_back(std::move(a));
  }
  report.requests = arrivals.size();
}

void Simulation::arrive(const Arrival& a) {
  const Instant now = clock.now();
  const Instant deadline = a.deadline.count() > 0 ? now + a.deadline : Instant{};
  Callbacks callbacks;
  if (a.streams) callbacks.on_event = [](const StreamEvent&) {};
  callbacks.on_done = [this](const Completion& c) {
    if (!completions.emplace(c.id, c).second) broken("a request was told its end twice");
  };
  Executor& executor = *executors[a.executor];
  auto state = std::make_shared<RequestState>(a.sequence.request, *this, executor.id(), now,
                                              deadline, callbacks);
  active.emplace(state->id, state);
  by_request.emplace(state->id, a);
  if (a.cancel_at) {
    cancels.emplace_back(*a.cancel_at, state);
    std::ranges::stable_sort(cancels.begin() + static_cast<std::ptrdiff_t>(cancels_done),
                             cancels.end(), {}, [](const auto& c) { return c.first; });
  }
  CHOIR_CHECK(executor.post({a.sequence, state, {}, {}}),
              "the mailbox is large enough for a workload");
  schedule.ready(executor.id(), a.sequence.priority, now);
  runnable_since.try_emplace(a.executor, now);
  if (deadline != Instant{}) {
    const auto [found, added] = wake_at.try_emplace(a.executor, deadline);
    if (!added) found->second = std::min(found->second, deadline);
  }
}

void Simulation::do_cancels() {
  while (cancels_done < cancels.size() && cancels[cancels_done].first <= clock.now())
    cancel_wherever_it_is(*cancels[cancels_done++].second);
}

void Simulation::cancelled(const RequestState& r) {
  executors[r.executor().value]->interrupt(r.id);
  schedule.ready(r.executor(), Priority::kCritical, clock.now());
  runnable_since.try_emplace(r.executor().value, clock.now());
}

void Simulation::check_layout() {
  int used = 0;
  for (const int threads : schedule.layout().threads) used += threads;
  if (used > cores) broken("the layout has more threads than cores");
  std::vector<int> users(static_cast<std::size_t>(cores), 0);
  for (const auto& [lane, b] : busy)
    for (int core = b.turn.first_core; core < b.turn.first_core + b.turn.cores; ++core)
      if (core >= cores || ++users[static_cast<std::size_t>(core)] > 1)
        broken("two lanes share a core");
}

void Simulation::give_turns() {
  const Instant now = clock.now();
  for (int lane = 0; lane < cores; ++lane) {
    if (busy.contains(lane)) continue;
    const std::optional<Turn> turn = schedule.next(lane, now);
    if (!turn) continue;
    const std::size_t index = turn->executor.value;
    for (const auto& [other, b] : busy)
      if (b.turn.executor == turn->executor) broken("an executor runs on two lanes");
    if (const auto since = runnable_since.find(index); since != runnable_since.end()) {
      report.longest_wait = std::max(report.longest_wait, now - since->second);
      if (now - since->second > kWaitMax)
        broken("executor " + std::to_string(index) + " waited " +
               std::to_string((now - since->second) / microseconds(1)) + " us for a turn");
      runnable_since.erase(since);
    }
    FakePool pool(turn->cores);
    // The turn happens now as far as others are concerned, and its clock runs ahead.
    const TurnResult result = executors[index]->turn(pool, turn->contended);
    if (!executors[index]->books_balance()) broken("a running total differs from its sum");
    busy.emplace(lane, Busy{*turn, clock.now(), result});
    clock.set(now);
    check_layout();
  }
}

void Simulation::end_turn(int lane) {
  const Busy b = busy.at(lane);
  busy.erase(lane);
  const std::size_t index = b.turn.executor.value;
  Executor& executor = *executors[index];
  std::optional<Priority> best = b.result.best;
  schedule.finished(lane, b.result.elapsed, best, clock.now());
  if (best || executor.has_work()) runnable_since.try_emplace(index, clock.now());
  if (b.result.wake_at)
    wake_at[index] = *b.result.wake_at;
  else
    wake_at.erase(index);
  if (options.migrate && one_in(20)) migrate_some(executor);
}

// Copies, so that the originals can be compared with what they were going to say.
void Simulation::migrate_some(Executor& executor) {
  for (const std::string& bytes : executor.serialize_live()) {
    const Result<Sequence> copy = deserialize(bytes);
    if (!copy) {
      broken("a live sequence cannot be read back: " + copy.error().message);
      continue;
    }
    ++report.migrated;
    const Arrival& origin = by_request.at(copy->request);
    std::vector<TokenId> elsewhere(copy->tokens.begin() + copy->prompt_tokens, copy->tokens.end());
    const std::vector<TokenId> rest = generate_alone(*copy, executor.sequence_tokens_max());
    if (rest != generate_alone(origin.sequence, executor.sequence_tokens_max()))
      broken("a sequence serialised after " + std::to_string(elsewhere.size()) +
             " tokens goes on differently elsewhere");
  }
}

std::optional<Instant> Simulation::next_event() const {
  std::optional<Instant> next;
  const auto consider = [&](Instant at) { next = next ? std::min(*next, at) : at; };
  if (arrived < arrivals.size()) consider(arrivals[arrived].at);
  if (cancels_done < cancels.size()) consider(cancels[cancels_done].first);
  for (const auto& [lane, b] : busy) consider(b.ends);
  for (const auto& [executor, at] : wake_at) consider(at);
  return next;
}

void Simulation::run() {
  for (int events = 0; events < 200'000; ++events) {
    give_turns();
    const std::optional<Instant> next = next_event();
    if (!next) {
      dispatcher.run_here();
      if (!next_event() && !schedule.next(0, clock.now())) break;
      broken("the simulation stopped with work left");
      break;
    }
    clock.set(std::max(clock.now(), *next));
    while (arrived < arrivals.size() && arrivals[arrived].at <= clock.now())
      arrive(arrivals[arrived++]);
    do_cancels();
    for (auto at = wake_at.begin(); at != wake_at.end();) {
      if (at->second > clock.now()) {
        ++at;
        continue;
      }
      schedule.ready(ExecutorId{at->first}, Priority::kCritical, clock.now());
      runnable_since.try_emplace(at->first, clock.now());
      at = wake_at.erase(at);
    }
    for (int lane = 0; lane < cores; ++lane)
      if (busy.contains(lane) && busy.at(lane).ends <= clock.now()) end_turn(lane);
    // A reader is there now and then.
    if (!options.slow_readers || one_in(3)) dispatcher.run_here();
  }
  dispatcher.run_here();
  report.virtual_time = clock.now().since_start;
  check_end();
}

void Simulation::check_end() {
  report.layout_changes = schedule.layout_changes();
  for (std::size_t i = 0; i < executors.size(); ++i) {
    report.steps += executors[i]->stats().steps.load();
    report.preemptions += executors[i]->stats().preemptions.load();
    report.aborts += executors[i]->stats().aborts.load();
    report.reused_tokens += executors[i]->stats().reused_tokens.load();
    if (executors[i]->stats().cells.load() != 0) broken("cells are in use at the end");
    executors[i]->forget_cached();
    if (engines[i]->cells_held() != 0) broken("an engine still holds cells at the end");
  }
  if (!active.empty()) broken(std::to_string(active.size()) + " requests never ended");
  for (const auto& [id, arrival] : by_request) {
    const auto found = completions.find(id);
    if (found == completions.end()) {
      broken("request " + std::to_string(id.value) + " was never told its end");
      continue;
    }
    const Completion& c = found->second;
    const std::vector<TokenId> alone =
        generate_alone(arrival.sequence, executors[arrival.executor]->sequence_tokens_max());
    switch (c.finish) {
      case Finish::kStop:
      case Finish::kLength:
        ++report.finished;
        if (c.tokens != alone)
          broken("request " + std::to_string(id.value) + " differs from itself alone");
        break;
      case Finish::kCancelled:
        ++report.cancelled;
        break;
      case Finish::kDeadline:
        ++report.expired;
        break;
      case Finish::kStalled:
        ++report.stalled;
        break;
      case Finish::kFailed:
        ++report.failed;
        break;
    }
    if (c.tokens.size() > alone.size() ||
        !std::equal(c.tokens.begin(), c.tokens.end(), alone.begin()))
      broken("the tokens of request " + std::to_string(id.value) +
             " are not a beginning of its own");
    if (c.finish == Finish::kFailed && !options.faults) broken("a request failed without a fault");
    if (c.finish == Finish::kCancelled && !arrival.cancel_at)
      broken("a request was cancelled by nobody");
    if (c.finish == Finish::kDeadline && arrival.deadline.count() == 0)
      broken("a request without deadline expired");
  }
}

}  // namespace

SimReport simulate(const SimOptions& options) {
  Simulation simulation(options);
  simulation.run();
  return simulation.report;
}

}  // namespace choir::sim
