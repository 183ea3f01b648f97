// Choir's own routes about requests: GET /choir/v1/requests, DELETE /choir/v1/requests/ID.
#pragma once

#include "choir/request_info.h"
#include "serve/json_in.h"
#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

void add_request_routes(Router& router, const Services& services);

// Whether a client sees a request: one with the scope admin sees all, any other its tenant's. Pure.
bool sees(const Client& client, const RequestInfo& request);
// What does not change by time alone. Pure.
Json request_row(const RequestInfo& request);

}  // namespace choir::serve
