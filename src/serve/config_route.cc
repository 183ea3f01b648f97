#include "serve/config_route.h"

namespace choir::serve {

void add_config_route(Router& router, const Json& settings) {
  router.add({.method = "GET",
              .path = "/choir/v1/config",
              .summary = "Shows the settings, and where each is from",
              .handler = [text = to_text(settings)](const HttpRequest&, const Wake&) {
                return reply_with_json(200, text);
              }});
}

}  // namespace choir::serve
