// Decides whose KV cells a sequence that has none begins with: those of another one whose tokens
// begin the same. What it gets need not be computed again.
//
// Pure. Idea: vLLM (automatic prefix caching), llama-server (cache_prompt); here whole sequences
// are compared, there are few of them.
#pragma once

#include <cstdint>
#include <span>

#include "choir/ids.h"
#include "choir/units.h"
#include "core/kv_state.h"

namespace choir {

// Fewer tokens are not worth a slot and a walk over the cells; and the marks that a chat template
// puts in front of everything would make all sequences wait for each other.
inline constexpr std::int32_t kSharedTokensMin = 16;

// One that has cells, or gets some in this pass.
struct FrontSource {
  SeqId id;
  std::span<const TokenId> tokens;
  std::int32_t cells = 0;        // of its first tokens, now
  std::int32_t cells_after = 0;  // after this pass
  Priority priority = Priority::kNormal;
  ScopeId scope;
};

// One without cells.
struct FrontSeeker {
  std::span<const TokenId> tokens;  // known; the last one is computed in any case, for its logits
  std::int32_t slice_tokens = 0;    // that it would compute in this pass; 0: it is not in the plan
  Priority priority = Priority::kNormal;
  bool may_wait = true;
  ScopeId scope;
};

// What the engine's memory lets be copied.
struct FrontLimits {
  Fronts fronts = Fronts::kAny;
  std::int32_t window_tokens = 0;  // of a sliding window; 0: none
};

struct FrontChoice {
  enum class Do : std::uint8_t {
    kCompute,    // no source has enough in common
    kFork,       // take the first `tokens` cells of `from` now
    kStandBack,  // not in this pass: `from` computes `tokens` of its tokens in it
  };
  Do what = Do::kCompute;
  SeqId from;
  std::int32_t tokens = 0;
  bool operator==(const FrontChoice&) const = default;
};

// The longest common front, the first of `sources` where several have it; those of another scope
// than the seeker's do not exist for it. The seeker stands back only
//   - for at least kSharedTokensMin tokens more than it could have now, and for at least half of
//     what it would compute itself in this pass after a fork: else its first token would come later
//     for little;
//   - behind one that computes in this pass, of its class or a better one. One that stands back is
//     no source, so one of them always computes;
//   - where the front can be copied afterwards: a sliding window may have moved on by then.
FrontChoice choose_front(const FrontSeeker& seeker, std::span<const FrontSource> sources,
                         const FrontLimits& limits);

}  // namespace choir
