// GET /choir/v1/catalogue: the models that can be fetched, and which of them are on disk.
#pragma once

#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

void add_catalogue_routes(Router& router, const Services& services);

}  // namespace choir::serve
