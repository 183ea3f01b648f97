#include "serve/prefix_holders.h"

namespace choir::serve {

std::optional<PrefixHolder> PrefixHolders::find(std::size_t mark) const {
  return table_.with([&](const Table& t) -> std::optional<PrefixHolder> {
    const auto found = t.by_mark.find(mark);
    if (found == t.by_mark.end()) return std::nullopt;
    return found->second->second;
  });
}

void PrefixHolders::note(std::size_t mark, PrefixHolder holder) {
  table_.with([&](Table& t) {
    const auto known = t.by_mark.find(mark);
    if (known != t.by_mark.end()) t.rows.erase(known->second);
    t.rows.emplace_front(mark, std::move(holder));
    t.by_mark[mark] = t.rows.begin();
    if (t.rows.size() <= kMost) return;
    t.by_mark.erase(t.rows.back().first);
    t.rows.pop_back();
  });
}

}  // namespace choir::serve
