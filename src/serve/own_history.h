// GET /choir/v1/history?seconds=900: what the node did lately (serve/history.h).
#pragma once

#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

void add_history_route(Router& router, const Services& services);

}  // namespace choir::serve
