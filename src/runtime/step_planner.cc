#include "runtime/step_planner.h"

#include <algorithm>

#include "policy/chunk.h"

namespace choir {

const StepPlan& StepPlanner::plan(int threads, bool contended) {
  passes_of_one_tenant_ = p_.live.tenants().accounts() > 1
                              ? 0
                              : std::min(passes_of_one_tenant_ + 1, kPassesOfOneTenant);
  p_.sharing.begin_turn();
  woken_for_plan_ = false;
  auto may_wait = FrontSharing::MayWait::kYes;
  for (bool again = true; again;) {
    make_views();
    p_.memory.make_room({wanted_.cells, wanted_.slots}, p_.live.awake());
    add_candidates();
    plan_step(views_, limits(threads, contended), scratch_, plan_);
    wake_who_starts();
    for (const SeqId victim : plan_.preempted) {
      p_.memory.park(p_.live.at(victim));
      p_.facts.counters().preemptions.fetch_add(1, std::memory_order_relaxed);
    }
    again = p_.memory.restore_parked(plan_, p_.live) || share_fronts(may_wait);
    if (!again && plan_.slices.empty() && p_.sharing.stand_forward()) {
      // The sequence that they waited for has left the plan again: then none waits.
      may_wait = FrontSharing::MayWait::kNo;
      again = true;
    }
  }
  return plan_;
}

// Not worth a look while all decode.
bool StepPlanner::share_fronts(FrontSharing::MayWait may_wait) {
  if (!p_.facts.settings().prefix_cache || wanted_.decodes == std::ssize(views_)) return false;
  return p_.sharing.share(plan_, p_.gate.queue_may_begin(), may_wait);
}

void StepPlanner::make_views() {
  views_.clear();
  wanted_ = {};
  for (const LiveSequence* live : p_.live.awake()) {
    if (live->held || live->front == LiveSequence::Front::kStandsBack) continue;
    const std::int32_t pending = live->pending();
    const bool holds = live->computed > 0;
    const bool decodes = holds && pending == 1;
    const SeqView& row = views_.emplace_back(view(*live));
    wanted_.cells += pending;
    wanted_.slots += holds ? 0 : 1;
    wanted_.decodes += decodes ? 1 : 0;
    if (holds) wanted_.worst_holder = std::max(wanted_.worst_holder, row.priority);
    if (!decodes) wanted_.best_prompt = std::min(wanted_.best_prompt, row.priority);
  }
  wanted_.awake_cells = wanted_.cells;
  if (!p_.gate.queue_open()) return;
  wanted_.cells += p_.live.waiting().queued_cells();
  wanted_.slots += p_.live.waiting().queued();
}

SeqView StepPlanner::view(const LiveSequence& live) const {
  const Priority priority = live.class_now(p_.facts.node());
  return {.id = live.value.id,
          .priority = priority,
          .tenant = live.tenant,
          .tenant_served = p_.live.tenants().level(*live.tenant, priority),
          .tenant_live = live.tenant->live(),
          .arrived = live.arrived,
          .known_tokens = live.value.known_tokens(),
          .computed_tokens = live.computed};
}

StepLimits StepPlanner::limits(int threads, bool contended) const {
  const KvUse held = p_.memory.use();
  const EngineConfig& engine = p_.memory.config();
  const NodeRules& node = p_.facts.node();
  const bool several_tenants = passes_of_one_tenant_ < kPassesOfOneTenant;
  const auto chunk = [&](bool others_wait, Nanos quantum) {
    return chunk_tokens(
        {.seconds_per_token = p_.speeds.seconds_per_prompt_token(threads, engine.batch_tokens_max),
         .contended = others_wait,
         .quantum = quantum_beside(quantum, node.urgent.first_token()),
         .batch_tokens_max = engine.batch_tokens_max});
  };
  const Nanos quantum = node.quantum.load();
  contended = contended || wanted_.decodes > 0 || p_.control.immune();
  return {.batch_tokens_max = engine.batch_tokens_max,
          .chunk_tokens_max = chunk(contended || several_tenants, quantum),
          .kv_cells_free = engine.context_tokens - held.cells,
          .slots_free = engine.sequences_max - held.slots,
          .outputs_max = engine.sequences_max,
          .chunk_tokens_enough = several_tenants ? chunk(true, std::min(quantum, kQuantumOfTenants))
                                                 : engine.batch_tokens_max};
}

// policy/step starts prompts in the order of the queue until one finds no room, and then none
// behind it. `room` is at least what it can find: what is free, and what holders of a worse class
// than any prompt have, or all of them where a decode may take the cells of its like.
void StepPlanner::add_candidates() {
  candidates_.clear();
  if (!p_.gate.queue_may_begin()) return;
  const Waiting& waiting = p_.live.waiting();
  const bool classes = p_.facts.node().classes.load();
  const EngineConfig& engine = p_.memory.config();
  const KvUse held = p_.memory.use();
  const Priority best =
      std::min(wanted_.best_prompt, classes ? waiting.best_lifted() : Priority::kNormal);
  KvUse room{.cells = engine.context_tokens - held.cells,
             .slots = engine.sequences_max - held.slots};
  if (room.cells < wanted_.decodes) {
    room = {.cells = engine.context_tokens, .slots = engine.sequences_max};
  } else if (wanted_.worst_holder > best) {
    for (const SeqView& row : views_) {
      if (row.computed_tokens == 0 || row.priority <= best) continue;
      room.cells += row.known_tokens;
      ++room.slots;
    }
  } else if (room.slots == 0 && wanted_.decodes > 0) {
    return;  // none can start, and the plan is not empty without them
  }
  waiting.first(room, classes, p_.live.tenants(), candidates_);
  for (const LiveSequence* l : candidates_) views_.push_back(view(*l));
}

void StepPlanner::wake_who_starts() {
  for (LiveSequence* l : candidates_) {
    if (std::ranges::find(plan_.slices, l->value.id, &Slice::seq) == plan_.slices.end()) continue;
    p_.live.wake(*l);
    woken_for_plan_ = true;
  }
}

void StepPlanner::count_wanting() {
  const std::int32_t computed = plan_.tokens();
  const bool stood_back = !p_.sharing.standing_back().empty();
  if (computed >= wanted_.cells && !stood_back) return;
  const NodeRules& node = p_.facts.node();
  Tenants& tenants = p_.live.tenants();
  // Where all that the awake ones wanted was computed, only those that rest are left.
  if (computed < wanted_.awake_cells || woken_for_plan_ || stood_back)
    for (const LiveSequence* l : p_.live.awake())
      if (!l->held && l->pending() > 0) tenants.wanted(*l->tenant, l->class_now(node));
  if (p_.gate.queue_open()) p_.live.waiting().count_wanting(node.classes.load(), tenants);
}

// What they wait for was computed.
void StepPlanner::count_standing_back(Instant ended) {
  for (LiveSequence* l : p_.sharing.standing_back()) l->last_progress = ended;
}

}  // namespace choir
