#include "serve/by_door.h"

#include <memory>
#include <utility>

#include "base/caught.h"
#include "base/guarded.h"
#include "serve/api_error.h"
#include "serve/shaped_body.h"

namespace choir::serve {
namespace {

using Make = Reply;

struct Desk {
  Guarded<std::unique_ptr<Work>> reply;
  void put(std::unique_ptr<Work> made) {
    reply.with([&](std::unique_ptr<Work>& r) { r = std::move(made); });
  }
};

// A reply that a door thread makes.
class Made final : public Work {
 public:
  Made(Doors& doors, HttpRequest request, Wake wake, Make make) {
    const Status posted = doors.post([desk = desk_, request = std::move(request),
                                      wake = std::move(wake), make = std::move(make)] {
      auto made = caught([&]() -> Result<std::unique_ptr<Work>> { return make(request); });
      desk->put(made ? std::move(*made) : reply_with_error(api_error(made.error())));
      wake();
    });
    if (!posted) desk_->put(reply_with_error(api_error(posted.error())));
  }
  Output advance() override {
    return desk_->reply.with(
        [](std::unique_ptr<Work>& reply) { return reply ? reply->advance() : Output{}; });
  }

 private:
  const std::shared_ptr<Desk> desk_ = std::make_shared<Desk>();
};

Handler made_by(Doors& doors, Make make) {
  return [&doors, make = std::move(make)](HttpRequest request, Wake wake) {
    return std::make_unique<Made>(doors, std::move(request), std::move(wake), make);
  };
}

std::unique_ptr<Work> reply_of(const Result<Json>& json) {
  return json ? reply_with_json(200, to_text(*json)) : reply_with_error(api_error(json.error()));
}

Make json_of(Answer answer) {
  return [answer = std::move(answer)](const HttpRequest& request) {
    return reply_of(answer(request));
  };
}

Make json_of(const BodyShape& shape, BodyAnswer answer) {
  return [shape, answer = std::move(answer)](const HttpRequest& request) {
    const ApiResult<Json> body = read_shaped_body(shape, request.body);
    return body ? reply_of(answer(request, *body)) : reply_with_error(body.error());
  };
}

}  // namespace

Handler by_door(Doors& doors, Answer answer) { return made_by(doors, json_of(std::move(answer))); }
Handler work_by_door(Doors& doors, Reply reply) { return made_by(doors, std::move(reply)); }
Handler text_by_door(Doors& doors, std::string type, std::function<std::string()> text) {
  return made_by(doors, [type = std::move(type), text = std::move(text)](const HttpRequest&) {
    return reply_with({.headers = {{"content-type", type}}}, text());
  });
}
Handler by_door(Doors& doors, const BodyShape& shape, BodyAnswer answer) {
  return made_by(doors, json_of(shape, std::move(answer)));
}

}  // namespace choir::serve
