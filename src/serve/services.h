// What the routes work with, and what reading a request means for each of them.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "choir/node.h"
#include "serve/api_error.h"
#include "serve/asked.h"
#include "serve/doors.h"
#include "serve/fields.h"
#include "serve/http.h"
#include "serve/metrics.h"
#include "serve/models.h"

namespace choir::serve {

class EndedRequests;
class Events;
class History;
class Pulls;
class Sessions;

// All of it outlives the server.
struct Services {
  Node& node;
  Models& models;
  Doors& doors;
  Metrics& metrics;
  Pulls& pulls;
  const std::shared_ptr<Events>& events;
  // Begins the end of the daemon, as SIGTERM does. Any thread.
  std::function<void()> stop;
  Sessions& sessions;  // of the loop thread
  // Where the dashboard is ("http://127.0.0.1:8411/ui/"); empty: no browser reaches it. On the
  // loop.
  std::function<std::string()> page;
  History& history;
  const EndedRequests& ended;
  const Clock& clock;
  Nanos load_wait_max;  // that a request waits for its model
  Nanos ping_every;     // of silence in a stream
  // Calls work on the loop after a time. On the loop only.
  std::function<void(Nanos, std::function<void()>)> after;
};

// Holds the model, with all of its replicas, for the tenant from now on, and gives what holds it
// once more when the request has ended, because the time counts from then. Both do nothing where
// the client asked for nothing. The node outlives the function that is returned. Any thread;
// neither blocks.
std::function<void()> hold_of(const Services& services, const std::string& model,
                              const std::string& tenant,
                              std::optional<std::chrono::milliseconds> keep_alive);

// Has a door thread read the heads of these files, which lists of models show then. Any thread;
// does not block.
void read_heads_of(const Services& services, std::vector<FolderHeads::File> files);

// The fields of a request's body, which is gone afterwards. On a door thread.
ApiResult<Asked> read_body(const Services& services, Routes route, HttpRequest& request);

// The class that a request asks for, by its header x-priority or its fields, must not be above the
// client's; and its deadline, by its header x-deadline-ms. Pure: any thread, does not block.
std::optional<ApiError> read_headers(Asked& asked, const HttpRequest& request);

}  // namespace choir::serve
