// GET /choir/v1/config: the settings of the daemon, and where each is from. Never a key.
#pragma once

#include "serve/json_in.h"
#include "serve/router.h"

namespace choir::serve {

// `settings`: what shown() of serve/config.h gives.
void add_config_route(Router& router, const Json& settings);

}  // namespace choir::serve
