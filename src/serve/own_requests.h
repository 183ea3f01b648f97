// Choir's own routes about requests: GET /choir/v1/requests and /choir/v1/requests/ended, DELETE
// /choir/v1/requests/ID.
#pragma once

#include <string_view>

#include "choir/request_info.h"
#include "serve/json_in.h"
#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

void add_request_routes(Router& router, const Services& services);

// Whether a client sees the requests of a tenant: one with the scope admin sees all, any other its
// own tenant's. Pure.
bool sees(const Client& client, std::string_view tenant);
// What does not change by time alone. Pure.
Json request_row(const RequestInfo& request);

}  // namespace choir::serve
