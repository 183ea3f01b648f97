// Handlers whose answer is made on a door thread, in one go.
//
// Any thread may call; the handlers are called on the loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/caught.h"
#include "serve/api_error.h"
#include "serve/doors.h"
#include "serve/http.h"
#include "serve/json_in.h"
#include "serve/shape.h"

namespace choir::serve {

using Answer = std::function<Result<Json>(const HttpRequest&)>;
// `body` is as read_shaped_body() gives it.
using BodyAnswer = std::function<Result<Json>(const HttpRequest&, const Json& body)>;

// The answer as JSON with status 200, or the error. `doors` outlives the handler.
Handler by_door(Doors& doors, Answer answer);
// The same of a route with these fields in its query, which an error then names.
Handler by_door(Doors& doors, std::span<const BodyField> query, Answer answer);
// Any reply, made on a door thread.
using Reply = std::function<std::unique_ptr<Work>(const HttpRequest&)>;
Handler work_by_door(Doors& doors, Reply reply);
// The same of an answer that does not depend on the request. Requests that come before the door
// thread begins to make it share one, so that many readers of a list cost as little as a few; none
// has an answer that is older than its request.
Handler shared_by_door(Doors& doors, std::function<Result<Json>()> answer);
// A shared answer that is kept, and given out on the loop thread, until something changes.
struct KeptJson {
  Json json;
  // What it was made of changes no more without a change of `changes`, as that was before.
  bool may_be_kept = false;
};
struct Keeping {
  // As ChangeCount: asked before the answer is made, and with each request. Does not block.
  std::function<std::uint64_t()> changes;
  std::function<Result<KeptJson>()> make;  // on a door thread
};
Handler kept_by_door(Doors& doors, Keeping keeping);
// A text of this content type, shared as well.
Handler text_by_door(Doors& doors, std::string type, std::function<std::string()> text);
// The same for a route whose body has this shape, which is read first; a body that is wrong is
// answered with the error that names the field. What the shape refers to lives as long as the
// handler.
Handler by_door(Doors& doors, const BodyShape& shape, BodyAnswer answer);

// On a door thread: what `work` throws is told to the client, by desk.refuse().
template <class Desk, class F>
void or_refuse(Desk& desk, F&& work) {
  const Status done = caught([&] { std::forward<F>(work)(); });
  if (!done) desk.refuse(api_error(done.error()));
}

// Calls `work` on a thread of the door, for what a desk does there. The client is told by
// desk->refuse() that it throws, or that too much waits already. Any thread; does not block.
template <class Desk, class F>
void post_step(Doors& doors, Door door, const std::shared_ptr<Desk>& desk, F work) {
  const Status posted =
      doors.post_to(door, [desk, work = std::move(work)] { or_refuse(*desk, work); });
  if (!posted) desk->refuse(api_error(posted.error()));
}

}  // namespace choir::serve
