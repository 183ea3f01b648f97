// POST /v1/chat/completions and /v1/completions: from the body of a request to its answer.
//
// A door thread reads the body, finds the model, and submits; the loop takes the text out of the
// request's stream when the socket has room for it, so a slow client is a slow reader to the node.
// No thread waits for a load, a place in the queue, or a token.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "choir/node.h"
#include "serve/doors.h"
#include "serve/fields.h"
#include "serve/http.h"
#include "serve/metrics.h"
#include "serve/models.h"

namespace choir::serve {

// What the routes work with; all of it outlives the server.
struct Services {
  Node& node;
  Models& models;
  Doors& doors;
  Metrics& metrics;
  // Begins the end of the daemon, as SIGTERM does. Any thread.
  std::function<void()> stop;
};

// Holds the executor for the tenant from now on, and gives what holds it once more when the request
// has ended, because the time counts from then. Both do nothing where the client asked for nothing.
// The node outlives the function that is returned.
std::function<void()> hold_of(Node& node, const std::string& executor, const std::string& tenant,
                              std::optional<std::chrono::milliseconds> keep_alive);

// The fields of a request's body, which is gone afterwards. On a door thread.
ApiResult<Asked> read_body(const Services& services, Routes route, HttpRequest& request);

// The class that a request asks for, by its header x-priority or its fields, must not be above the
// client's.
std::optional<ApiError> set_class(Asked& asked, const HttpRequest& request);

// `route` is kChat or kCompletion. On the loop thread.
std::unique_ptr<Work> begin_generating(const Services& services, Routes route, HttpRequest request,
                                       Wake wake);

}  // namespace choir::serve
