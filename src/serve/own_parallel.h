// POST /choir/v1/parallel: several jobs at once, on one or several models; one stream of their
// texts, which ends with the report of `choir parallel`. With `order` they go one at a time, each
// when the one before has ended.
//
// The events of the stream are JSON objects with a `type`:
//   begin   jobs: [{job, model, prompt, request}]; call: a secret, with which DELETE
//           /choir/v1/parallel/CALL stops one job while the others go on. `request` is the id under
//           which GET /choir/v1/requests tells why the job waits; null: not submitted yet
//   begun   job, request: of jobs that go one at a time, behind the first one
//   text    job, text, tokens: how many so far
//   end     job, finish, error, usage: counts and seconds
//   report  report: as json_text() of choir/parallel_evaluation.h gives it; text: as render() does,
//           which is what `choir parallel` prints; comparison, where the body has `against`:
//           speedup and text, as compare() has them
//   error   error: nothing follows
// Without `stream` the reply is the report alone, with the comparison in it. All models are in
// memory before the first job is submitted, and `total_seconds` begins there. A job that fails is a
// row with its error. One that is stopped before its turn came ends at once.
#pragma once

#include <memory>

#include "serve/http.h"
#include "serve/router.h"
#include "serve/services.h"

namespace choir::serve {

// The work of the route is on the loop thread. No thread waits for a load, a place in the queue or
// a token; while models are loaded, the loads are looked at once a second. When the client leaves,
// all jobs are cancelled. The services outlive the router.
void add_parallel_routes(Router& router, const Services& services);

}  // namespace choir::serve
