// GET /choir/v1/cells/NAME: what the KV cells of a model hold now. Made of what the node shows of
// its executors and requests, when somebody looks; no pass and no lane takes part in it. So the
// numbers are from slightly different moments, and cells that several sequences share count for
// each of them, as they do when room is made. Which they share, and how many cells that saves, is
// of the last look between two passes; each call asks for the next one.
#pragma once

#include <optional>
#include <span>

#include "choir/node.h"
#include "serve/client_rights.h"
#include "serve/json_in.h"
#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

inline constexpr std::size_t kFrontsMax = 50;  // of the longest sequences

// The cells that a request has computed its tokens into; 0 where it holds none: it has not begun,
// has lost them, or is over, and its state is kept or cached. After it had lost them in the middle
// of its answer, the number is too high until it is where it was. Pure.
std::int32_t front_of(const RequestInfo& request);

// `requests`: all of the node; those that `client` may see are in it one by one. Pure.
Json cells_row(const ExecutorInfo& executor, std::span<const RequestInfo> requests,
               const std::optional<CellSharing>& sharing, const Client& client);

void add_cells_route(Router& router, const Services& services);

}  // namespace choir::serve
