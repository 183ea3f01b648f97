#include "serve/own_cells.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "serve/by_door.h"
#include "serve/by_model.h"
#include "serve/model_state.h"
#include "serve/own_requests.h"
#include "serve/shared_cells.h"

namespace choir::serve {
namespace {

struct Held {
  std::int64_t cells = 0;                    // of all running requests
  std::vector<const RequestInfo*> in_sight;  // of those, the longest first
};

Held held_by(const std::string& model, std::span<const RequestInfo> requests,
             const Client& client) {
  Held held;
  for (const RequestInfo& request : requests) {
    if (request.executor != model || front_of(request) == 0) continue;
    held.cells += front_of(request);
    if (sees(client, request.tenant)) held.in_sight.push_back(&request);
  }
  std::ranges::stable_sort(held.in_sight, std::ranges::greater{},
                           [](const RequestInfo* r) { return front_of(*r); });
  return held;
}

}  // namespace

std::int32_t front_of(const RequestInfo& r) {
  using enum RequestPhase;
  switch (r.phase) {
    case kLoading:
    case kWaiting:
    case kParked:
    case kEnding:
      return 0;
    case kPrefill:
    case kDecode:
    case kSuspended:
    case kReaderBehind:
      break;
  }
  if (r.max_tokens == 0) return 0;  // it embeds, and leaves nothing in the cells
  // The last token that was drawn is computed in the next pass.
  const bool answers = r.prompt_tokens > 0 && r.prompt_tokens_done == r.prompt_tokens;
  return r.prompt_tokens_done + (answers ? std::max(r.output_tokens - 1, 0) : 0);
}

Json cells_row(const ExecutorInfo& e, std::span<const RequestInfo> requests,
               const std::optional<CellSharing>& sharing, const Client& client) {
  const Held held = e.loaded ? held_by(e.config.name, requests, client) : Held{};
  const std::int64_t all = e.loaded ? e.config.context_tokens : 0;
  const std::int64_t used = e.loaded ? e.cells : 0;
  const std::int64_t cached = e.loaded ? e.cached_cells : 0;
  const std::int64_t running = std::min(held.cells, used);
  Json fronts = Json::array();
  for (const RequestInfo* r : held.in_sight) {
    if (fronts.size() == kFrontsMax) break;
    fronts.push_back({{"id", std::to_string(r->id.value)},
                      {"tenant", r->tenant},
                      {"state", to_string(r->phase)},
                      {"cells", front_of(*r)},
                      {"shared_cells", shared_cells_of(r->id, sharing)}});
  }
  return {{"model", e.config.name},
          {"state", state_of(e)},
          {"cells", all},
          {"running_cells", running},
          {"kept_cells", used - running},
          {"cached_cells", cached},
          {"free_cells", std::max<std::int64_t>(all - used - cached, 0)},
          {"kept_conversations", e.loaded ? e.kept : 0},
          {"running", e.loaded ? e.running : 0},
          {"sequences", std::move(fronts)},
          {"sharing", sharing_json(sharing, client)}};
}

void add_cells_route(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/choir/v1/cells/*",
              .summary = "Shows what the KV cells of a model hold: of running requests, kept for "
                         "conversations, cached, free; and which sequences share them",
              .reply = {"Cells"},
              .handler = by_shown_model(
                  s, [](const HttpRequest& r) { return r.rest; },
                  [&s](const std::string& model, const HttpRequest& r) -> Result<Json> {
                    const ExecutorInfo executor = CHOIR_TRY(s.node.executor(model));
                    const auto sharing = CHOIR_TRY(s.node.cell_sharing(model));
                    return cells_row(executor, s.node.requests(), sharing, r.client);
                  })});
}

}  // namespace choir::serve
