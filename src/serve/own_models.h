// Choir's own routes about models: they are listed, declared, changed and removed, and what a load
// would take is told.
//
//   GET    /choir/v1/models, /choir/v1/models/NAME
//   POST   /choir/v1/models              declares one: model, name, sizes, class, shares
//   POST   /choir/v1/models/NAME/ACTION  load, unload, suspend, resume, pin, unpin, resize, update,
//                                        clone, replicas
//   DELETE /choir/v1/models/NAME
//   POST   /choir/v1/estimate            model and sizes
#pragma once

#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

void add_model_routes(Router& router, const Services& services);

}  // namespace choir::serve
