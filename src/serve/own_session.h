// Choir's routes for sessions of browsers: POST, GET and DELETE /choir/v1/session, and POST
// /choir/v1/session/link.
#pragma once

#include <string>

#include "choir/result.h"
#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

// The router outlives its routes, and so do the services.
void add_session_routes(Router& router, const Services& services);

// "http://127.0.0.1:8411/ui/#code=..." of a new code with the rights of the unix socket. The code
// is in the fragment, which a browser does not send.
Result<std::string> link_of_socket(Sessions& sessions, const std::string& page, Nanos lives);

// Where the page is, of the addresses that a server has ("http://0.0.0.0:8411", "unix:..."), ready
// for "#code=". Empty: it has none that a browser reaches. Pure; any thread.
std::string page_at(const std::vector<std::string>& addresses);

}  // namespace choir::serve
