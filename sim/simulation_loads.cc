// Requests that wait for their executor as values, and the loads that they wait for.
#include <algorithm>
#include <chrono>
#include <utility>

#include "base/scope_end.h"
#include "sim/simulation.h"

namespace choir::sim {
namespace {

// Of a file; after each the load may be given up.
constexpr int kParts = 8;
constexpr unsigned kPartMicrosecondsMax = 2500;

}  // namespace

Result<Submission> Simulation::enqueue(const Ask& ask, Callbacks callbacks,
                                       Continuation continuation, Runtime& node) {
  const Instant before = stage_.clock.now();
  const std::uint64_t loads = report_.loads;
  const bool cold = !node.in_memory(ask.request.executor);
  const auto prompt =
      ask.entry == Entry::kEnqueue ? Runtime::Prompt::kNow : Runtime::Prompt::kLater;
  LatePrompt late;
  late.awaited = ask.entry == Entry::kAwaited;
  if (ask.entry == Entry::kLate) late.open = opener(ask);
  auto submission = node.enqueue(CHOIR_TRY(node.prepare(ask.request, prompt)), std::move(callbacks),
                                 std::move(continuation), std::move(late));
  if (stage_.clock.now() != before || report_.loads != loads) broken("enqueue() has waited");
  if (!submission) return submission;
  ++report_.enqueued;
  report_.waited_for_load += cold ? 1 : 0;
  return submission;
}

// Makes the prompt, from what an executor that left memory may have left of the conversation.
Opener Simulation::opener(const Ask& ask) {
  return [this, &ask](const Executor& executor) -> Result<Opening> {
    Asked& asked = asked_.at(ask.index);
    if (ask.refused) {
      asked.refused = true;
      return fail(Code::kInvalidArgument, "there is no prompt");
    }
    Opening opening{.tokens = ask.request.tokens, .kv = {}};
    if (asked.talk == ConversationKey{} || executor.kept().holds(asked.talk)) return opening;
    if (auto found = aside_.extract(asked.talk)) opening.kv = std::move(found.mapped());
    return opening;
  };
}

void Simulation::open_those_due() {
  while (!openings_.empty() && openings_.begin()->first <= stage_.clock.now()) {
    Asked& asked = asked_.at(openings_.begin()->second);
    openings_.erase(openings_.begin());
    const auto node = std::ranges::find_if(nodes_, [](const auto& n) { return n != nullptr; });
    if (asked.ask->refused && one_in(2)) {
      asked.refused = true;
      (*node)->runtime().refuse(asked.id, {Code::kCancelled, "the turn before it has failed"});
    } else {
      (*node)->runtime().open(asked.id, opener(*asked.ask));
    }
  }
}

// A change, or a call that loads by itself, may have a node's loads to itself; there is one thread
// here, so background threads do not begin to wait for it.
bool Simulation::serve() { return !changing_ && calls_that_load_ == 0 && serve_all(); }

bool Simulation::serve_all() {
  bool any = false;
  ++serving_;
  for (const auto& node : nodes_)
    if (node) any = node->work_in_background() || any;
  --serving_;
  return any;
}

Status Simulation::while_loading(const std::string& executor, const LoadProgress& progress) {
  if (!where_.contains(executor)) return {};  // nothing has begun
  if (!loading_.insert(executor).second) broken("'" + executor + "' is loaded twice at once");
  const ScopeEnd over([&] { loading_.erase(executor); });
  const bool in_background = serving_ > 0 && calls_that_load_ == 0;
  bool fails = false;
  if (in_background) {
    ++report_.loads;
    fails = one_in(6);
    const auto node = where_.at(executor);
    if (node && nodes_[*node]->runtime().in_memory(executor))
      broken("'" + executor + "' is loaded and was in memory");
  }
  for (int part = 1; part <= kParts; ++part) {
    const Instant until =
        stage_.clock.now() + std::chrono::microseconds(1 + rng_() % kPartMicrosecondsMax);
    while (stage_.clock.now() < until) step(until);
    if (fails && part > kParts / 2) {
      ++report_.loads_failed;
      load_failed_.insert(executor);
      return fail(Code::kEngineFailed, "the file of '" + executor + "' cannot be read");
    }
    if (progress && !progress(static_cast<float>(part) / kParts)) {
      ++report_.loads_given_up;
      return fail(Code::kCancelled, "the load was given up");
    }
  }
  return {};
}

}  // namespace choir::sim
