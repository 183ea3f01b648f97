// GET /choir/v1/events?topics=state,requests,turns,log&since=EPOCH-N: server-sent events of what
// happens in the daemon.
//
//   hello     epoch (another one after a restart), version, tenant, scopes, topics, resumed
//   snapshot  topic, rows, rest: all there is
//   delta     topic, set, gone, rest: rows that are new or changed, keys of those that are not
//   there
//             any more; `rest` only where it changed
//   turns     topic, now_us, lanes: what the lanes have computed (serve/turn_blocks.h); the first
//             one has the last 10 s
//   log       topic, lines, dropped
//   ping      every 10 s without another frame
//   bye       the daemon ends
// Of `state` a row is a model with its name as key, and `rest` has the node; of `requests` the key
// is the id. A reader that is more than 1 MiB behind misses frames and gets a snapshot when it
// reads again. With `since`, the epoch and the last id that a reader with the same topics and
// rights has got, it gets only what it has missed, if that is at most 30 s old; hello then says
// `resumed`, and no snapshot comes. The stream of a session ends with `bye` when the session does.
// The topic `log` needs the scope admin. Without `topics` they are state and requests.
#pragma once

#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

void add_event_routes(Router& router, const Services& services);

}  // namespace choir::serve
