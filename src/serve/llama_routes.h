// Routes of llama-server that are not about generating: tokens, templates, properties, slots,
// models, health and metrics. Their bodies and answers have its names; errors have OpenAI's form,
// as everywhere here, so `code` is a text.
#pragma once

#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

// The services outlive the router.
void add_llama_routes(Router& router, const Services& services);

}  // namespace choir::serve
