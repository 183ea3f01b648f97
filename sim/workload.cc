#include "sim/workload.h"

#include <algorithm>
#include <limits>

namespace choir::sim {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

class Maker {
 public:
  Maker(const SimOptions& options, std::mt19937& rng) : options_(options), rng_(rng) {}

  Workload make() {
    const bool changes = options_.changes && options_.kind == SimKind::kRandom;
    const int nodes = changes ? upto(3) : 1;
    for (int i = 0; i < nodes; ++i) work_.nodes.push_back(node());
    const int executors = options_.kind == SimKind::kTenants ? 1 : nodes + upto(3);
    for (int i = 0; i < executors; ++i) work_.executors.push_back(executor(i));
    if (options_.kind == SimKind::kTenants)
      ask_for_tenants();
    else
      ask_at_random();
    if (changes) change_at_random();
    return std::move(work_);
  }

 private:
  int upto(int n) { return 1 + static_cast<int>(rng_() % static_cast<unsigned>(n)); }
  bool one_in(int n) { return rng_() % static_cast<unsigned>(n) == 0; }
  TokenId token() { return static_cast<TokenId>(rng_() % 90); }

  NodePlan node() {
    NodePlan plan;
    plan.cores = upto(4);
    if (one_in(3)) plan.config.lanes_max = upto(plan.cores);
    plan.config.quantum = milliseconds(2);
    plan.config.age_step = milliseconds(options_.kind == SimKind::kTenants ? 3'600'000 : 20);
    plan.config.stalled = milliseconds(50);
    plan.config.stream_bytes_max = 24;  // less than a person may choose
    plan.config.queue_max = one_in(8) ? upto(6) : 256;
    if (options_.kind == SimKind::kRandom && one_in(6))
      plan.config.policy = static_cast<ExecutionPolicy>(rng_() % 5);
    if (options_.faults) {
      // 100 tokens in passes of 7 can be computed again before the next time.
      plan.engines.no_cells_every = one_in(2) ? static_cast<std::uint32_t>(15 + upto(20)) : 0;
      plan.engines.fail_every = one_in(4) ? static_cast<std::uint32_t>(49 + upto(50)) : 0;
      plan.engines.fail_takes_all = one_in(3);
    }
    if (one_in(3)) plan.engines.window = 16;
    if (one_in(4)) plan.engines.fronts = one_in(2) ? Fronts::kWhole : Fronts::kNone;
    return plan;
  }

  ExecutorConfig executor(int i) {
    ExecutorConfig config;
    config.name = "executor " + std::to_string(i);
    config.path = config.name;
    if (options_.kind == SimKind::kRandom && one_in(3)) work_.declared.insert(config.name);
    config.context_tokens = kSequenceTokensMax + upto(160);
    config.sequence_tokens_max = kSequenceTokensMax;
    config.sequences_max = options_.kind == SimKind::kTenants ? upto(3) : upto(6);
    config.batch_tokens_max = 6 + upto(40);
    config.park_bytes_max = one_in(2) ? 0 : 600;
    config.prefix_cache = options_.kind != SimKind::kTenants && !one_in(8);
    config.shares = 0.5 * upto(4);
    return config;
  }

  Ask ask(const std::string& executor, int prompt, int front, int max_tokens) {
    Ask a;
    a.index = ++asked_;
    Request& r = a.request;
    r.executor = executor;
    for (int i = 0; i < front; ++i) r.tokens.push_back(i * 7 % 90);  // as with a system message
    for (int i = 0; i < prompt; ++i) r.tokens.push_back(token());
    r.max_tokens = max_tokens;
    r.sampling.temperature = one_in(3) ? 0.0F : 0.9F;
    r.sampling.top_k = upto(20);
    r.sampling.seed = rng_();
    if (one_in(4)) r.sampling.repeat_penalty = 1.2F;
    return a;
  }
  // What it says alone, once all of it is known.
  void settle(Ask& a) {
    a.alone.id = {a.index};
    a.alone.tokens = a.request.tokens;
    a.alone.prompt_tokens = a.alone.known_tokens();
    a.alone.max_tokens = std::min(a.request.max_tokens, kSequenceTokensMax - a.alone.prompt_tokens);
    a.alone.sampling = a.request.sampling;
    if (a.request.ignore_eos)
      a.alone.sampling.bias.push_back({FakeModel::kEnd, -std::numeric_limits<float>::infinity()});
    a.alone.stop = a.request.stop;
  }

  Ask random_ask() {
    const int front = one_in(2) ? upto(40) : 0;
    const int prompt = std::max(1, std::min(one_in(4) ? upto(60) : upto(12), 60 - front));
    Ask a = ask(work_.executors[rng_() % work_.executors.size()].name, prompt, front, upto(40));
    if (one_in(3)) a.request.stop = {std::string(1, static_cast<char>(33 + rng_() % 80))};
    a.request.priority = static_cast<Priority>(rng_() % 4);
    a.request.tenant = one_in(2) ? "" : std::string(1, static_cast<char>('a' + rng_() % 3));
    if (one_in(3)) a.request.tenant_weight = upto(5);
    if (!many_scopes_ || one_in(2)) a.request.reuse_scope = "a";  // or one tenant's, as it happens
    if (one_in(6)) a.request.deadline = milliseconds(upto(20));
    if (one_in(6)) a.cancel_after = microseconds(upto(10'000));
    a.streams = options_.slow_readers && one_in(2);
    if (one_in(4)) a.talk = {static_cast<std::uint64_t>(upto(3))};
    if (one_in(2)) a.entry = static_cast<Entry>(upto(3));
    if (a.entry == Entry::kAwaited) a.opens_after = microseconds(upto(8000));
    if (a.entry >= Entry::kLate) a.refused = one_in(10);
    settle(a);
    return a;
  }

  void ask_at_random() {
    many_scopes_ = one_in(2);
    Instant at;
    for (int count = upto(30); count > 0; --count) {
      at = at + microseconds(one_in(3) ? 0 : upto(3000));
      Ask a = random_ask();
      a.at = at;
      if (one_in(5)) {
        work_.follows.push_back(random_ask());
        a.follow = work_.follows.size();
      }
      work_.asks.push_back(std::move(a));
    }
  }

  // Tenants that always want more than there is, one after the other in the queue, and one that
  // sends its next request when the last one has ended.
  void ask_for_tenants() {
    const int tenants = 1 + upto(3);
    for (int t = 0; t < tenants; ++t) {
      const double weight = upto(3);
      for (int count = 20; count > 0; --count) {
        Ask a = ask(work_.executors.front().name, 1 + upto(20), 0, upto(20));
        a.request.ignore_eos = true;
        a.request.tenant = std::string(1, static_cast<char>('a' + t));
        a.request.tenant_weight = weight;
        a.at = Instant{milliseconds(t)};
        settle(a);
        work_.asks.push_back(std::move(a));
      }
    }
  }

  void change_at_random() {
    Instant at;
    for (int count = upto(12); count > 0; --count) {
      at = at + microseconds(upto(6000));
      work_.changes.push_back({.at = at,
                               .deed = static_cast<Deed>(rng_() % 11),
                               .executor = work_.executors[rng_() % work_.executors.size()].name,
                               .dice = static_cast<std::uint32_t>(rng_())});
      // An executor that is not resumed would hold its requests for ever.
      if (work_.changes.back().deed == Deed::kSuspend) {
        Change later = work_.changes.back();
        later.deed = Deed::kResume;
        later.at = at + microseconds(upto(8000));
        work_.changes.push_back(later);
      }
    }
    std::ranges::stable_sort(work_.changes, {}, &Change::at);
  }

  const SimOptions& options_;
  std::mt19937& rng_;
  Workload work_;
  std::size_t asked_ = 0;
  bool many_scopes_ = false;  // else all requests share one
};

}  // namespace

Workload make_workload(const SimOptions& options, std::mt19937& rng) {
  return Maker(options, rng).make();
}

}  // namespace choir::sim
