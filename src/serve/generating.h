// Requests that generate, in every dialect: from the body of a request to its answer.
//
// A door thread reads the body, finds the model, and submits; the loop takes the text out of the
// requests' streams when the socket has room for it, so a slow client is a slow reader to the node.
// No thread waits for a load, a place in the queue, or a token.
#pragma once

#include <memory>

#include "serve/dialect.h"
#include "serve/http.h"
#include "serve/services.h"

namespace choir::serve {

// On the loop thread. `services` and `dialect` outlive what is returned. When the client leaves, or
// one choice fails, all choices are cancelled.
std::unique_ptr<Work> begin_generating(const Services& services, const Dialect& dialect,
                                       HttpRequest request, Wake wake);

}  // namespace choir::serve
