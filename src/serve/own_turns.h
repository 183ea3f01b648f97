// GET /choir/v1/turns: what the lanes have computed lately, turn by turn.
#pragma once

#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

void add_turn_routes(Router& router, const Services& services);

}  // namespace choir::serve
