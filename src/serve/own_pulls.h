// Choir's own routes about fetching models of the catalogue: GET and POST /choir/v1/pulls, DELETE
// /choir/v1/pulls/NAME.
#pragma once

#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

void add_pull_routes(Router& router, const Services& services);

}  // namespace choir::serve
