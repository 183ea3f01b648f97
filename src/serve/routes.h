// The table of what the daemon answers.
#pragma once

#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

// Adds all routes. `services` outlives the router.
void add_routes(Router& router, const Services& services);

}  // namespace choir::serve
