// POST /v1/chat/completions and /v1/completions: from the body of a request to its answer.
//
// A door thread reads the body, finds the model, and submits; the loop takes the text out of the
// request's stream when the socket has room for it, so a slow client is a slow reader to the node.
// No thread waits for a load, a place in the queue, or a token.
#pragma once

#include <memory>
#include <string>

#include "choir/node.h"
#include "serve/doors.h"
#include "serve/fields.h"
#include "serve/http.h"
#include "serve/models.h"

namespace choir::serve {

// What the routes work with; all of it outlives the server.
struct Services {
  Node& node;
  Models& models;
  Doors& doors;
};

// `route` is kChat or kCompletion. On the loop thread.
std::unique_ptr<Work> begin_generating(const Services& services, Routes route, HttpRequest request,
                                       Wake wake);

}  // namespace choir::serve
