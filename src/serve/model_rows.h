// Models and the node as Choir's own routes and events show them (the schemas ModelRow and Node).
#pragma once

#include "choir/node.h"
#include "serve/json_in.h"
#include "serve/replicas.h"

namespace choir::serve {

// What does not change by time alone. Pure.
Json model_row(const ExecutorInfo& executor);
Json node_row(const NodeInfo& node);
// Of a model that has replicas how many, and of a replica whose. Any thread; does not block.
void add_replicas(const Replicas& replicas, Json& row);

}  // namespace choir::serve
