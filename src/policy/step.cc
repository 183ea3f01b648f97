#include "policy/step.h"

#include <algorithm>
#include <optional>
#include <tuple>

#include "base/check.h"

namespace choir {
namespace {

// An object, not a function: what goes to an algorithm is inlined there.
constexpr auto kRanksBefore = [](const SeqView& a, const SeqView& b) {
  return std::tie(a.priority, a.arrived, a.id) < std::tie(b.priority, b.arrived, b.id);
};

PromptRank rank_of(const SeqView& row) {
  return {row.priority, row.tenant_served, row.tenant_live, row.arrived, row.id};
}

bool holds(const SeqView& row) { return row.computed_tokens > 0; }
bool is_decode(const SeqView& row) { return holds(row) && row.pending_tokens() == 1; }
bool is_prompt(const SeqView& row) { return row.pending_tokens() > 0 && !is_decode(row); }

// What one call knows; rows that were preempted become {0 known, 0 computed}.
class Planner {
 public:
  Planner(std::span<const SeqView> seqs, const StepLimits& limits, StepScratch& scratch,
          StepPlan& plan)
      : rows_(scratch.rows), prompts_(scratch.prompts), plan_(plan), left_(limits) {
    rows_.assign(seqs.begin(), seqs.end());
    // Most callers keep their sequences in order of arrival.
    if (!std::ranges::is_sorted(rows_, kRanksBefore)) std::ranges::sort(rows_, kRanksBefore);
    plan_.slices.clear();
    plan_.preempted.clear();
    prompts_.clear();
    room_ = limits.kv_cells_free;
    for (std::uint32_t i = 0; i < rows_.size(); ++i) {
      const SeqView& row = rows_[i];
      CHOIR_CHECK(0 <= row.computed_tokens && row.computed_tokens <= row.known_tokens,
                  "what is computed is known");
      CHOIR_CHECK(!row.whole || row.known_tokens <= limits.batch_tokens_max,
                  "a whole sequence fits into the batch");
      if (holds(row)) room_ -= row.pending_tokens();
      if (is_prompt(row)) prompts_.push_back(i);
    }
    critical_only_ = !prompts_.empty() && rows_[prompts_.front()].priority == Priority::kCritical;
    std::ranges::sort(prompts_, [this](std::uint32_t a, std::uint32_t b) {
      return rank_of(rows_[a]) < rank_of(rows_[b]);
    });
    first_prompt_ = first_prompt_with_room();
  }

  void place_decodes() {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      if (left_.batch_tokens_max == 0 || left_.outputs_max == 0) return;
      if (!is_decode(rows_[i]) || is_barred(rows_[i])) continue;
      while (left_.kv_cells_free == 0 && preempt_from(i + 1)) {}
      if (left_.kv_cells_free > 0) place(rows_[i], 1);
    }
  }

  void place_prompts() {
    bool start_barred = false;
    std::int32_t placed = 0;
    for (const std::uint32_t i : prompts_) {
      if (placed >= left_.chunk_tokens_enough) return;
      const SeqView& row = rows_[i];
      const bool starts = !holds(row);
      if (is_barred(row)) {
        start_barred = start_barred || starts;  // those behind it do not pass it
        continue;
      }
      if ((starts && start_barred) || most_tokens(row) == 0) continue;
      if (starts && !make_room(row)) {
        start_barred = true;
        continue;
      }
      while (left_.kv_cells_free == 0 && preempt_from(first_worse_than(row.priority))) {}
      const std::int32_t count = std::min(most_tokens(row), left_.kv_cells_free);
      if (count == 0 || (row.whole && count < row.pending_tokens())) continue;
      if (!row.whole) left_.chunk_tokens_max -= std::min(count, left_.chunk_tokens_max);
      placed += count;
      if (starts) {
        --left_.slots_free;
        room_ -= row.known_tokens;
      }
      place(row, count);
    }
  }

  // Without a placed slice nothing that is preempted here has to be undone.
  void break_standstill() {
    auto has_work = [](const SeqView& row) { return row.pending_tokens() > 0; };
    if (!plan_.slices.empty() || std::ranges::none_of(rows_, has_work)) return;
    for (std::size_t i = rows_.size(); i-- > 0;)
      if (holds(rows_[i]) && rows_[i].pending_tokens() == 0) return preempt(rows_[i]);
    preempt_from(0);
  }

 private:
  bool is_barred(const SeqView& row) const {
    if (critical_only_ && row.priority != Priority::kCritical) return true;
    // Its turn comes once the tenant of that prompt has had as much.
    return first_prompt_ && row.priority == first_prompt_->priority &&
           row.tenant != first_prompt_->tenant && row.tenant_served >= first_prompt_->tenant_served;
  }

  // The first prompt of which a token can be placed without taking cells or a slot from another. As
  // in place_prompts(), none starts behind one that cannot.
  std::optional<SeqView> first_prompt_with_room() const {
    bool start_barred = false;
    for (const std::uint32_t i : prompts_) {
      const SeqView& row = rows_[i];
      if (row.whole) return std::nullopt;  // an encoder's: it decodes nothing that could wait
      if (holds(row) ? left_.kv_cells_free > 0
                     : !start_barred && left_.slots_free > 0 && room_ >= row.known_tokens)
        return row;
      start_barred = start_barred || !holds(row);
    }
    return std::nullopt;
  }

  // As many of its tokens as the pass takes, cells aside.
  std::int32_t most_tokens(const SeqView& row) const {
    const std::int32_t pending = row.pending_tokens();
    if (pending == 0) return 0;
    if (row.whole) return left_.batch_tokens_max >= pending && left_.outputs_max > 0 ? pending : 0;
    std::int32_t chunk = left_.chunk_tokens_max;
    if (pending - chunk <= chunk / 2) chunk = pending;  // the rest would cost a pass of its own
    const std::int32_t count = std::min({pending, chunk, left_.batch_tokens_max});
    return count == pending && left_.outputs_max == 0 ? count - 1 : count;
  }

  void place(const SeqView& row, std::int32_t count) {
    const bool sample = count == row.pending_tokens();
    plan_.slices.push_back({row.id, row.computed_tokens, count, sample});
    left_.batch_tokens_max -= count;
    left_.kv_cells_free -= count;
    if (sample) --left_.outputs_max;
  }

  std::size_t first_worse_than(Priority priority) const {
    return static_cast<std::size_t>(
        std::ranges::upper_bound(rows_, priority, {}, &SeqView::priority) - rows_.begin());
  }

  // True when `row` can start; preempts for it only if that makes it start.
  bool make_room(const SeqView& row) {
    const std::size_t first_victim = first_worse_than(row.priority);
    std::int32_t room = room_;
    std::int32_t slots = left_.slots_free;
    for (std::size_t i = first_victim; i < rows_.size(); ++i) {
      if (!holds(rows_[i])) continue;
      room += rows_[i].known_tokens;
      ++slots;
    }
    if (room < row.known_tokens || slots == 0) return false;
    while (room_ < row.known_tokens || left_.slots_free == 0) preempt_from(first_victim);
    return true;
  }

  // The worst-ranked holder at or behind `first`; false if there is none.
  bool preempt_from(std::size_t first) {
    for (std::size_t i = rows_.size(); i-- > first;) {
      if (!holds(rows_[i])) continue;
      preempt(rows_[i]);
      return true;
    }
    return false;
  }

  void preempt(SeqView& row) {
    const auto placed = std::ranges::find(plan_.slices, row.id, &Slice::seq);
    if (placed != plan_.slices.end()) {
      left_.batch_tokens_max += placed->count;
      left_.kv_cells_free += placed->count;
      if (placed->sample) ++left_.outputs_max;
      plan_.slices.erase(placed);
    }
    plan_.preempted.push_back(row.id);
    left_.kv_cells_free += row.computed_tokens;
    ++left_.slots_free;
    room_ += row.known_tokens;
    row.known_tokens = row.computed_tokens = 0;
  }

  std::vector<SeqView>& rows_;
  std::vector<std::uint32_t>& prompts_;
  StepPlan& plan_;
  StepLimits left_;        // what of the limits is not used up yet
  std::int32_t room_ = 0;  // free cells, less what the holders lack
  bool critical_only_ = false;
  std::optional<SeqView> first_prompt_;  // of those that can be read in this pass
};

}  // namespace

void plan_step(std::span<const SeqView> seqs, const StepLimits& limits, StepScratch& scratch,
               StepPlan& plan) {
  CHOIR_CHECK(limits.batch_tokens_max > 0 && limits.chunk_tokens_max > 0 && limits.outputs_max > 0,
              "a pass takes at least one token");
  CHOIR_CHECK(limits.kv_cells_free >= 0 && limits.slots_free >= 0, "no more is held than there is");
  Planner planner(seqs, limits, scratch, plan);
  planner.place_decodes();
  planner.place_prompts();
  planner.break_standstill();
}

StepPlan plan_step(std::span<const SeqView> seqs, const StepLimits& limits) {
  StepScratch scratch;
  StepPlan plan;
  plan_step(seqs, limits, scratch, plan);
  return plan;
}

}  // namespace choir
