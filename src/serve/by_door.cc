#include "serve/by_door.h"

#include <memory>
#include <utility>

#include "base/caught.h"
#include "base/guarded.h"
#include "serve/api_error.h"
#include "serve/shaped_body.h"

namespace choir::serve {
namespace {

using Post = Status (Doors::*)(std::function<void()>);
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
  Made(Doors& doors, Post post, HttpRequest request, Wake wake, Make make) {
    const Status posted = (doors.*post)([desk = desk_, request = std::move(request),
                                         wake = std::move(wake), make = std::move(make)] {
      auto made = caught([&]() -> Result<std::unique_ptr<Work>> { return make(request); });
      desk->put(made ? std::move(*made) : reply_with_error(api_error(made.error())));
      wake();
    });
    if (!posted) desk_->put(reply_with_error(api_error(posted.error())));
  }
  // By the quick one if it can, else by the slow one.
  Made(Doors& doors, HttpRequest request, Wake wake, QuickAnswer quick, ApiAnswer slow) {
    const auto asked = std::make_shared<const HttpRequest>(std::move(request));
    const auto answer = [desk = desk_, wake = std::move(wake)](const ApiResult<Json>& json) {
      desk->put(json ? reply_with_json(200, to_text(*json)) : reply_with_error(json.error()));
      wake();
    };
    const Status posted =
        doors.post([&doors, asked, answer, quick = std::move(quick), slow = std::move(slow)] {
          const auto made =
              caught([&]() -> Result<std::optional<ApiResult<Json>>> { return quick(*asked); });
          if (!made) return answer(tl::unexpected(api_error(made.error())));
          if (*made) return answer(**made);
          const Status later = doors.post_slow([asked, answer, slow] {
            const auto last = caught([&]() -> Result<ApiResult<Json>> { return slow(*asked); });
            answer(last ? *last : tl::unexpected(api_error(last.error())));
          });
          if (!later) answer(tl::unexpected(api_error(later.error())));
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

Handler made_by(Doors& doors, Post post, Make make) {
  return [&doors, post, make = std::move(make)](HttpRequest request, Wake wake) {
    return std::make_unique<Made>(doors, post, std::move(request), std::move(wake), make);
  };
}

std::unique_ptr<Work> reply_of(const Result<Json>& json, ErrorForm error) {
  return json ? reply_with_json(200, to_text(*json)) : reply_with_error(error(json.error()));
}

Make json_of(Answer answer, ErrorForm error) {
  return [answer = std::move(answer), error](const HttpRequest& request) {
    return reply_of(answer(request), error);
  };
}

Make json_of(const BodyShape& shape, BodyAnswer answer, ErrorForm error) {
  return [shape, answer = std::move(answer), error](const HttpRequest& request) {
    const ApiResult<Json> body = read_shaped_body(shape, request.body);
    return body ? reply_of(answer(request, *body), error) : reply_with_error(body.error());
  };
}

}  // namespace

Handler by_door(Doors& doors, Answer answer) {
  return made_by(doors, &Doors::post, json_of(std::move(answer), api_error));
}
Handler work_by_door(Doors& doors, Reply reply) {
  return made_by(doors, &Doors::post, std::move(reply));
}
Handler text_by_door(Doors& doors, std::string type, std::function<std::string()> text) {
  return made_by(doors, &Doors::post,
                 [type = std::move(type), text = std::move(text)](const HttpRequest&) {
                   return reply_with({.headers = {{"content-type", type}}}, text());
                 });
}
Handler by_slow_door(Doors& doors, Answer answer, ErrorForm error) {
  return made_by(doors, &Doors::post_slow, json_of(std::move(answer), error));
}
Handler by_either_door(Doors& doors, QuickAnswer quick, ApiAnswer slow) {
  return
      [&doors, quick = std::move(quick), slow = std::move(slow)](HttpRequest request, Wake wake) {
        return std::make_unique<Made>(doors, std::move(request), std::move(wake), quick, slow);
      };
}
Handler by_door(Doors& doors, const BodyShape& shape, BodyAnswer answer) {
  return made_by(doors, &Doors::post, json_of(shape, std::move(answer), api_error));
}
Handler by_slow_door(Doors& doors, const BodyShape& shape, BodyAnswer answer, ErrorForm error) {
  return made_by(doors, &Doors::post_slow, json_of(shape, std::move(answer), error));
}

}  // namespace choir::serve
