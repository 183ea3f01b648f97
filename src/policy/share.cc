#include "policy/share.h"

#include <algorithm>

namespace choir {
namespace {

// How many of the first tokens are the same, at most `most`. 0 if not more than `least`, which is
// seen at one token mostly.
std::int32_t common_front(std::span<const TokenId> a, std::span<const TokenId> b, std::int32_t most,
                          std::int32_t least) {
  if (most <= least) return 0;
  const auto longest = static_cast<std::size_t>(most);
  const auto last = static_cast<std::size_t>(least);
  if (a[last] != b[last]) return 0;
  const auto front = a.first(longest);
  const auto same =
      static_cast<std::int32_t>(std::ranges::mismatch(front, b.first(longest)).in1 - front.begin());
  return same > least ? same : 0;
}

// Whether the first `front` of `cells` cells can be copied at all.
bool copies(const FrontLimits& limits, std::int32_t front, std::int32_t cells) {
  return limits.fronts == Fronts::kAny || (limits.fronts == Fronts::kWhole && front == cells);
}

bool left_by_window(const FrontLimits& limits, std::int32_t front, std::int32_t cells) {
  return limits.window_tokens == 0 || cells <= limits.window_tokens || front == cells;
}

}  // namespace

FrontChoice choose_front(const FrontSeeker& seeker, std::span<const FrontSource> sources,
                         const FrontLimits& limits) {
  const std::int32_t most = static_cast<std::int32_t>(seeker.tokens.size()) - 1;
  FrontChoice now{FrontChoice::Do::kFork, {}, kSharedTokensMin - 1};
  for (const FrontSource& source : sources) {
    if (source.scope != seeker.scope) continue;
    const std::int32_t same =
        common_front(seeker.tokens, source.tokens, std::min(most, source.cells), now.tokens);
    if (same > 0 && copies(limits, same, source.cells))
      now = {FrontChoice::Do::kFork, source.id, same};
  }
  if (now.tokens < kSharedTokensMin) now = {};
  if (!seeker.may_wait) return now;
  const std::int32_t own = std::min(seeker.slice_tokens, most + 1 - now.tokens);
  const std::int32_t gain_min = std::max(kSharedTokensMin, (own + 1) / 2);
  FrontChoice later{FrontChoice::Do::kStandBack, {}, now.tokens + gain_min - 1};
  const std::int32_t enough = later.tokens;
  for (const FrontSource& source : sources) {
    if (source.scope != seeker.scope) continue;
    if (source.cells_after <= source.cells || source.priority > seeker.priority) continue;
    const std::int32_t same = common_front(seeker.tokens, source.tokens,
                                           std::min(most, source.cells_after), later.tokens);
    if (same > 0 && copies(limits, same, source.cells_after) &&
        left_by_window(limits, same, source.cells_after))
      later = {FrontChoice::Do::kStandBack, source.id, same};
  }
  return later.tokens > enough ? later : now;
}

}  // namespace choir
