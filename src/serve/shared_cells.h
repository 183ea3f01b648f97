// The part of GET /choir/v1/cells/NAME that tells which sequences begin with the same KV cells, and
// how many cells that saves. Nothing of their texts is told. Pure.
#pragma once

#include <cstddef>
#include <optional>

#include "choir/cells.h"
#include "choir/ids.h"
#include "serve/client_rights.h"
#include "serve/json_in.h"

namespace choir::serve {

inline constexpr std::size_t kSharedFrontsMax = 50;      // those that save most
inline constexpr std::int32_t kSharedFrontDepthMax = 3;  // a front of a front of a front

// null: nobody has looked yet. The sums are of all tenants, the fronts those that `client` may see:
// of its own tenant, or all for an admin.
Json sharing_json(const std::optional<CellSharing>& sharing, const Client& client);

// How many of its first cells a request shares with other sequences.
std::int32_t shared_cells_of(RequestId request, const std::optional<CellSharing>& sharing);

}  // namespace choir::serve
