// Choir's own routes: /choir/v1/... They show and change what the node does.
#pragma once

#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

void add_own_routes(Router& router, const Services& services);

}  // namespace choir::serve
