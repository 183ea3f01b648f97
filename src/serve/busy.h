// The answer to a request that an executor's queue has no room for: 429, with where the request
// would stand, when it would be expected to begin, and when to try again.
#pragma once

#include <optional>
#include <string>

#include "choir/node.h"
#include "serve/api_error.h"

namespace choir::serve {

// Any error of submitting a request of `tenant`. Where a queue is full, the answer has the facts
// `position` (1: it would be the next to begin) and, if something has been measured,
// `estimated_wait_ms`: what they would be right behind the newest request. Costs what
// Node::requests() and place() do; any thread, does not block.
ApiError busy_error(const Node& node, const std::string& executor, const std::string& tenant,
                    const Error& error);

// The same from the place of the newest request in the queue that is full; nullopt: there is none
// any more. Pure.
ApiError busy_error(const Error& error, const std::optional<QueuePlace>& newest);

}  // namespace choir::serve
