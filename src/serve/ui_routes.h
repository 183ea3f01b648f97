// The routes of the dashboard: /ui/..., and / for browsers.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "serve/doors.h"
#include "serve/http.h"
#include "serve/router.h"
#include "serve/ui_files.h"

namespace choir::serve {

// `doors` outlives the routes. Files of a folder are read anew for each request, on a door thread.
void add_ui_routes(Router& router, Doors& doors, const UiConfig& config);

// The reply to a request for this file: the bytes, compressed where the client takes that, with the
// headers that forbid the page everything but its own files and this daemon. Pure; any thread.
std::unique_ptr<Work> reply_with_file(const UiFile& file, const HttpRequest& request);

// Whether an Accept-Encoding takes gzip. Pure.
bool takes_gzip(std::string_view accept_encoding);

}  // namespace choir::serve
