// What the node is asked to do for a request over HTTP.
//
// Any thread; does not block.
#pragma once

#include <string>
#include <vector>

#include "choir/request.h"
#include "serve/asked.h"
#include "serve/client_rights.h"

namespace choir::serve {

// The node's request, without the prompt where that is one of `asked.prompts`. Whatever the client
// left open is set here. Uses up `asked.request`.
Request request_of(Asked& asked, const Client& client, const std::string& executor);

// One request for each prompt; each is what its prompt alone would get, and where the client gave
// no seed, each has its own. Uses up `asked.request` and `asked.prompts`.
std::vector<Request> requests_of(Asked& asked, const Client& client, const std::string& executor);

}  // namespace choir::serve
