#include "serve/own_routes.h"

#include <utility>

#include "serve/body_fields.h"
#include "serve/by_door.h"
#include "serve/own_events.h"
#include "serve/own_models.h"
#include "serve/own_parallel.h"
#include "serve/own_pulls.h"
#include "serve/own_requests.h"

namespace choir::serve {

void add_own_routes(Router& router, const Services& s) {
  add_request_routes(router, s);
  add_model_routes(router, s);
  add_pull_routes(router, s);
  add_event_routes(router, s);
  router.add({.method = "POST",
              .path = "/choir/v1/parallel",
              .scopes = kInfer,
              .body_bytes_max = kInferenceBodyMax,
              .handler = [&s](HttpRequest request, Wake wake) {
                return begin_parallel(s, std::move(request), std::move(wake));
              }});
  router.add({.method = "POST",
              .path = "/choir/v1/stop",
              .scopes = kAdmin,
              .handler = by_door(s.doors, [&s](const HttpRequest& r) -> Result<Json> {
                CHOIR_TRY(body_with(r, {}));
                s.stop();
                return Json{{"stopping", true}};
              })});
}

}  // namespace choir::serve
