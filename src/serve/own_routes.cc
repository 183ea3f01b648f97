#include "serve/own_routes.h"

#include <utility>

#include "serve/by_door.h"
#include "serve/own_catalogue.h"
#include "serve/own_cells.h"
#include "serve/own_events.h"
#include "serve/own_history.h"
#include "serve/own_models.h"
#include "serve/own_parallel.h"
#include "serve/own_pulls.h"
#include "serve/own_requests.h"
#include "serve/own_session.h"
#include "serve/own_shapes.h"
#include "serve/own_turns.h"

namespace choir::serve {

void add_own_routes(Router& router, const Services& s) {
  add_request_routes(router, s);
  add_model_routes(router, s);
  add_cells_route(router, s);
  add_pull_routes(router, s);
  add_catalogue_routes(router, s);
  add_event_routes(router, s);
  add_turn_routes(router, s);
  add_session_routes(router, s);
  add_history_route(router, s);
  add_parallel_routes(router, s);
  router.add({.method = "POST",
              .path = "/choir/v1/stop",
              .summary = "Ends the daemon, as SIGTERM does",
              .scopes = kAdmin,
              .reply = {"Stopping"},
              .handler = by_door(s.doors, BodyShape{},
                                 [&s](const HttpRequest&, const Json&) -> Result<Json> {
                                   s.stop();
                                   return Json{{"stopping", true}};
                                 })});
}

}  // namespace choir::serve
