// Choir's own routes about models: they are listed, declared, changed and removed, and what a load
// would take is told.
//
//   GET    /choir/v1/models, /choir/v1/models/NAME
//   POST   /choir/v1/models              declares one: model, name, sizes, class, shares
//   POST   /choir/v1/models/NAME/ACTION  load, unload, suspend, resume, pin, unpin, resize, clone,
//                                        replicas
//   DELETE /choir/v1/models/NAME
//   POST   /choir/v1/estimate            model and sizes
#pragma once

#include "serve/json_in.h"
#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

void add_model_routes(Router& router, const Services& services);

// What does not change by time alone. Pure.
Json model_row(const ExecutorInfo& executor);
Json node_row(const NodeInfo& node);
// Of a model that has replicas how many, and of a replica whose. Any thread; does not block.
void add_replicas(const Replicas& replicas, Json& row);

}  // namespace choir::serve
