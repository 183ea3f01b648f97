#include "serve/shared_cells.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "serve/own_requests.h"
#include "serve/rounded.h"

namespace choir::serve {
namespace {

struct Shown {
  const SharedFront* front = nullptr;
  Json tenant;  // null: the scope was narrowed, and no request of it runs
  std::int32_t running = 0;
  std::int32_t kept = 0;
  std::int32_t cached = 0;
};

// A front is of one scope, and a scope of one tenant, whose name it has where no request narrowed
// it (request_of.cc).
Shown shown(const SharedFront& front, const CellSharing& sharing) {
  constexpr std::string_view kNarrowed = "sha256:";
  Shown shown{.front = &front, .tenant = nullptr};
  for (const std::size_t index : front.holders) {
    const CellHolder& holder = sharing.holders.at(index);
    if (holder.use == CellUse::kRunning)
      shown.tenant = holder.tenant;
    else if (!holder.reuse_scope.starts_with(kNarrowed))
      shown.tenant = holder.reuse_scope;
    (holder.use == CellUse::kRunning ? shown.running
     : holder.use == CellUse::kKept  ? shown.kept
                                     : shown.cached)++;
  }
  return shown;
}

bool sees_front(const Client& client, const Json& tenant) {
  return tenant.is_null() ? (client.scopes & kAdmin) != 0
                          : sees(client, tenant.get_ref<const std::string&>());
}

}  // namespace

Json sharing_json(const std::optional<CellSharing>& sharing, const Client& client) {
  if (!sharing) return nullptr;
  std::int64_t saved = 0;
  std::vector<Shown> all;
  for (const SharedFront& front : sharing->fronts) {
    saved += front.saved_cells;
    if (front.depth >= kSharedFrontDepthMax) continue;
    Shown one = shown(front, *sharing);
    if (sees_front(client, one.tenant)) all.push_back(std::move(one));
  }
  std::ranges::stable_sort(all, std::ranges::greater{},
                           [](const Shown& one) { return one.front->saved_cells; });
  Json fronts = Json::array();
  for (Shown& one : all) {
    if (fronts.size() == kSharedFrontsMax) break;
    fronts.push_back({{"tenant", std::move(one.tenant)},
                      {"cells", one.front->cells},
                      {"saved_cells", one.front->saved_cells},
                      {"depth", one.front->depth},
                      {"running", one.running},
                      {"kept", one.kept},
                      {"cached", one.cached}});
  }
  return {{"age_seconds", whole_milliseconds(sharing->age_seconds)},
          {"saved_cells", saved},
          {"fronts", std::move(fronts)}};
}

std::int32_t shared_cells_of(RequestId request, const std::optional<CellSharing>& sharing) {
  std::int32_t cells = 0;
  if (!sharing) return cells;
  for (const SharedFront& front : sharing->fronts)
    for (const std::size_t index : front.holders)
      if (sharing->holders.at(index).request == request) cells = std::max(cells, front.cells);
  return cells;
}

}  // namespace choir::serve
