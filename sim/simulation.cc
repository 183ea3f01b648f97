#include "sim/simulation.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/patience.h"
#include "choir/observer.h"

namespace choir::sim {
namespace {

using std::chrono::milliseconds;

// The longest that an executor may wait: three classes of ageing, then a turn of each executor at
// its level.
constexpr Nanos kWaitMax = milliseconds(400);
constexpr Nanos kAway = milliseconds(60);
constexpr int kEventsMax = 300'000;
constexpr int kIdleWaitsMax = 100;

}  // namespace

ConversationKey key_of(const std::string& executor, ConversationKey talk) {
  return {talk.value + 10 * std::hash<std::string>()(executor)};
}

namespace {

class LeavingCounter final : public Observer {
 public:
  explicit LeavingCounter(SimReport& report) : report_(report) {}
  void on_left(const ExecutorLeft& left) override {
    if (left.why == ExecutorLeft::Why::kUnheld) ++report_.unheld;
  }

 private:
  SimReport& report_;
};

}  // namespace

Simulation::Simulation(const SimOptions& options)
    : options_(options), rng_(options.seed), work_(make_workload(options, rng_)) {
  report_.requests = work_.asks.size() + work_.follows.size();
  const bool balanced = std::ranges::all_of(work_.nodes, [](const NodePlan& plan) {
    return plan.config.policy == ExecutionPolicy::kBalanced;
  });
  if (options.kind == SimKind::kRandom && balanced) stage_.wait_max = kWaitMax;
  stage_.broken = [this](const std::string& what) { broken(what); };
  stage_.on_tick = [this] { cancel_those_due(); };
  stage_.on_share = [this](SeqId from, SeqId to) { shared(from, to); };
  stage_.after_turn = [this](Executor& executor) {
    check_forgotten(executor);
    if (one_in(20)) resume_elsewhere(executor);
  };
  stage_.while_loading = [this](const std::string& path, const LoadProgress& progress) {
    return while_loading(path, progress);
  };
  wait_ = [this] { others_go_on(); };
  instead_of_sleeping = &wait_;
  for (NodePlan& plan : work_.nodes) {
    plan.config.observer = std::make_shared<LeavingCounter>(report_);
    nodes_.push_back(std::make_unique<DrivenNode>(stage_, plan.config, plan.cores, plan.engines));
    join_keeper(nodes_.back()->runtime());
  }
  for (std::size_t i = 0; i < work_.executors.size(); ++i) {
    const std::size_t node = i % nodes_.size();
    const ExecutorConfig& config = work_.executors[i];
    Runtime& runtime = nodes_[node]->runtime();
    const Status added =
        work_.declared.contains(config.name) ? runtime.declare(config) : runtime.add(config);
    CHOIR_CHECK(added.has_value(), "an executor of a workload fits");
    where_[config.name] = node;
  }
}

Simulation::~Simulation() {
  nodes_.clear();
  instead_of_sleeping = nullptr;
}

void Simulation::broken(const std::string& what) {
  if (report_.broken.size() < 20)
    report_.broken.push_back("seed " + std::to_string(options_.seed) + ": " + what);
}

const std::string& scope_of(const Request& request) {
  return request.reuse_scope.empty() ? request.tenant : request.reuse_scope;
}

SimReport Simulation::run() {
  for (int events = 0;; ++events) {
    if (events == kEventsMax) {
      broken("the simulation never ends");
      return report_;
    }
    if (next_change_ < work_.changes.size()) {
      const Change& change = work_.changes[next_change_];
      const std::optional<Instant> event = next_event();
      if (!event || change.at <= *event) {
        stage_.clock.set(std::max(stage_.clock.now(), change.at));
        ++next_change_;
        changing_ = true;
        this->change(change);
        changing_ = false;
        leaving_.clear();
        continue;
      }
    }
    if (!step() && next_change_ == work_.changes.size()) break;
  }
  check_end();
  return report_;
}

bool Simulation::step(std::optional<Instant> until) {
  ask_those_due();
  serve();
  give_turns();
  std::optional<Instant> next = next_event();
  for (bool any = true; any && !next;) {
    any = deliver_all();
    ask_those_due();
    any = serve() || any;
    give_turns();
    next = next_event();
  }
  if (until) next = next ? std::min(*next, *until) : *until;
  if (!next) return false;
  idle_waits_ = 0;
  stage_.clock.set(std::max(stage_.clock.now(), *next));
  cancel_those_due();
  open_those_due();
  for (const auto& node : nodes_)
    if (node) node->catch_up();
  // A reader is there now and then, and now and then away for longer than a node waits.
  if (options_.slow_readers && one_in(300)) away_until_ = stage_.clock.now() + kAway;
  if (!options_.slow_readers || (stage_.clock.now() >= away_until_ && one_in(3))) deliver_all();
  return true;
}

void Simulation::others_go_on() {
  // Who holds a node's loads waits for turns and not for loads: then there was something.
  if (step() || serve_all()) return;
  // What was delivered may be what is waited for; but not for ever.
  if (++idle_waits_ < kIdleWaitsMax) return;
  for (const std::string& what : report_.broken) std::fprintf(stderr, "%s\n", what.c_str());
  std::fprintf(stderr, "seed %u: a call waits for what will never happen\n", options_.seed);
  std::abort();
}

std::optional<Instant> Simulation::next_event() const {
  std::optional<Instant> next;
  const auto consider = [&](Instant at) { next = next ? std::min(*next, at) : at; };
  if (next_ask_ < work_.asks.size()) consider(work_.asks[next_ask_].at);
  if (!cancels_.empty()) consider(cancels_.begin()->first);
  if (!openings_.empty()) consider(openings_.begin()->first);
  for (const auto& node : nodes_)
    if (node)
      if (const auto at = node->next_event()) consider(*at);
  return next;
}

bool Simulation::deliver_all() {
  bool any = false;
  for (const auto& node : nodes_)
    if (node) any = node->deliver() || any;
  return any;
}

void Simulation::give_turns() {
  for (const auto& node : nodes_)
    if (node) node->give_turns();
}

void Simulation::ask_those_due() {
  for (; next_ask_ < work_.asks.size() && work_.asks[next_ask_].at <= stage_.clock.now();
       ++next_ask_)
    due_.push_back(&work_.asks[next_ask_]);
  std::vector<const Ask*> later;
  for (const Ask* one : std::exchange(due_, {})) {
    if (would_wait(*one))
      later.push_back(one);
    else
      ask(*one);
  }
  due_.insert(due_.begin(), later.begin(), later.end());
}

// A request that comes while its executor is leaving waits for the outcome, and loads go one after
// the other; but there is one thread here. What a node does in the background, or a call that
// loads, may just be taking an executor out of memory.
bool Simulation::would_wait(const Ask& ask) {
  const std::string& name = ask.request.executor;
  const auto node = where_.at(name);
  if (ask.entry != Entry::kSubmit || !node) return false;
  const bool cold = !nodes_[*node]->runtime().in_memory(name);
  if (cold) return changing_ || !loading_.empty();
  const bool others_leave = (serving_ > 0 || calls_that_load_ > 0) && loading_.empty();
  return others_leave || (changing_ && name == leaving_);
}

void Simulation::ask(const Ask& ask) {
  const std::string& name = ask.request.executor;
  const auto node = where_.at(name);
  if (!node) {
    ++report_.refused;
    return;
  }
  Asked& asked = asked_[ask.index];
  asked.ask = &ask;
  auto submission = send(ask, asked, nodes_[*node]->runtime());
  if (!submission) {
    const Code code = submission.error().code;
    if (code != Code::kOverloaded && code != Code::kNotFound && code != Code::kCancelled)
      broken("request " + std::to_string(ask.index) +
             " was refused: " + submission.error().message);
    ++report_.refused;
    talking_.erase(asked.talk);
    asked_.erase(ask.index);
    return;
  }
  asked.id = submission->id;
  asked.future = std::move(submission->result);
  indices_[asked.id] = ask.index;
  const Instant now = stage_.clock.now();
  if (ask.cancel_after) cancels_.emplace(now + *ask.cancel_after, ask.index);
  if (ask.entry == Entry::kAwaited) openings_.emplace(now + ask.opens_after, ask.index);
}

Result<Submission> Simulation::send(const Ask& ask, Asked& asked, Runtime& node) {
  const std::string& name = ask.request.executor;
  Callbacks callbacks;
  if (ask.streams) callbacks.on_event = [](const StreamEvent&) {};
  callbacks.on_done = [this, &ask](const Completion& c) { ended(ask, c); };
  callbacks.on_settled = [&asked](const Completion&) { ++asked.settled; };
  Continuation continuation;
  const ConversationKey key = ask.talk.value == 0 ? ask.talk : key_of(name, ask.talk);
  // One turn of a conversation at a time.
  if (key != ConversationKey{} && !talking_.contains(key)) {
    continuation.key = key;
    asked.talk = key;
    talking_.insert(key);
    forgotten_.erase(key);
    if (ask.entry < Entry::kLate)
      if (auto found = aside_.extract(key)) continuation.kv = std::move(found.mapped());
  }
  if (ask.entry != Entry::kSubmit)
    return enqueue(ask, std::move(callbacks), std::move(continuation), node);
  const bool loads = !node.in_memory(name);
  calls_that_load_ += loads ? 1 : 0;
  auto submission = node.submit(ask.request, std::move(callbacks), std::move(continuation));
  calls_that_load_ -= loads ? 1 : 0;
  return submission;
}

// Inside a callback.
void Simulation::ended(const Ask& ask, const Completion& completion) {
  Asked& asked = asked_.at(ask.index);
  if (++asked.told > 1) broken("a request was told its end twice");
  asked.completion = completion;
  talking_.erase(asked.talk);
  check_tenants(ask, completion);
  if (ask.follow == 0) return;
  const Ask& next = work_.follows[ask.follow - 1];
  const auto node = where_.at(next.request.executor);
  const bool cold = node && !nodes_[*node]->runtime().in_memory(next.request.executor);
  if (would_wait(next) || (cold && next.entry == Entry::kSubmit))  // nothing is loaded in here
    ++report_.refused;
  else
    this->ask(next);
}

void Simulation::cancel_those_due() {
  while (!cancels_.empty() && cancels_.begin()->first <= stage_.clock.now()) {
    Asked& asked = asked_.at(cancels_.begin()->second);
    cancels_.erase(cancels_.begin());
    // Any node finds it; the first one that is there is as good as another.
    const auto node = std::ranges::find_if(nodes_, [](const auto& n) { return n != nullptr; });
    const bool over = asked.told > 0;
    const Status cancelled = (*node)->runtime().cancel(asked.id);
    asked.cancelled = true;
    if (!cancelled && !over) broken("a request that has not ended could not be cancelled");
  }
}

void Simulation::shared(SeqId from, SeqId to) {
  const auto one = indices_.find({from.value});
  const auto other = indices_.find({to.value});
  if (one == indices_.end() || other == indices_.end()) return;  // it is just being submitted
  const std::string& theirs = scope_of(asked_.at(one->second).ask->request);
  const std::string& own = scope_of(asked_.at(other->second).ask->request);
  if (theirs != own)
    broken("a sequence of scope '" + own + "' has cells of scope '" + theirs + "'");
}

void Simulation::resume_elsewhere(Executor& executor) {
  for (const std::string& bytes : executor.serialize_live()) {
    const Result<Sequence> copy = deserialize(bytes);
    if (!copy) {
      broken("a live sequence cannot be read back: " + copy.error().message);
      continue;
    }
    const auto index = indices_.find(copy->request);
    if (index == indices_.end()) continue;  // it is just being submitted
    ++report_.resumed;
    const Ask& origin = *asked_.at(index->second).ask;
    if (generate_alone(*copy, kSequenceTokensMax) !=
        generate_alone(origin.alone, kSequenceTokensMax))
      broken("a sequence serialised after " + std::to_string(copy->output_tokens()) +
             " tokens goes on differently elsewhere");
  }
}

SimReport simulate(const SimOptions& options) { return Simulation(options).run(); }

}  // namespace choir::sim
