#include "serve/by_door.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/caught.h"
#include "base/guarded.h"
#include "serve/about_field.h"
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

// The reply of a desk.
class OfDesk final : public Work {
 public:
  explicit OfDesk(std::shared_ptr<Desk> desk) : desk_(std::move(desk)) {}
  Output advance() override {
    return desk_->reply.with(
        [](std::unique_ptr<Work>& reply) { return reply ? reply->advance() : Output{}; });
  }

 private:
  const std::shared_ptr<Desk> desk_;
};

Handler made_by(Doors& doors, Make make) {
  return [&doors, make = std::move(make)](HttpRequest request, Wake wake) {
    const auto desk = std::make_shared<Desk>();
    const Status posted =
        doors.post([desk, request = std::move(request), wake = std::move(wake), make] {
          auto made = caught([&]() -> Result<std::unique_ptr<Work>> { return make(request); });
          desk->put(made ? std::move(*made) : reply_with_error(api_error(made.error())));
          wake();
        });
    if (!posted) desk->put(reply_with_error(api_error(posted.error())));
    return std::make_unique<OfDesk>(desk);
  };
}

struct SharedText {
  std::string text;
  bool may_be_kept = false;
};
struct TextSource {
  std::string type;
  std::function<Result<SharedText>()> make;
  std::function<std::uint64_t()> changes = {};  // empty: no text is kept
};

// What requests that came before it was begun have in common.
class Shared : public std::enable_shared_from_this<Shared> {
 public:
  Shared(Doors& doors, TextSource source) : doors_(doors), source_(std::move(source)) {}

  std::unique_ptr<Work> ask(Wake wake) {
    if (auto kept = kept_text()) return reply_with(head(), *std::move(kept));
    const auto desk = std::make_shared<Desk>();
    const bool first = waiting_.with([&](std::vector<Waiting>& waiting) {
      waiting.push_back({desk, std::move(wake)});
      return waiting.size() == 1;
    });
    if (first)
      if (const Status posted = doors_.post([self = shared_from_this()] { self->make(); }); !posted)
        give(take(), tl::unexpected(posted.error()));
    return std::make_unique<OfDesk>(desk);
  }

 private:
  struct Waiting {
    std::shared_ptr<Desk> desk;
    Wake wake;
  };
  struct Kept {
    std::uint64_t changes = 0;
    std::optional<std::string> text;
  };
  void make() {
    // A request that comes from now on is not among them: this answer may be older than it.
    const std::vector<Waiting> asked = take();
    give(asked, caught([&]() -> Result<std::string> {
           const std::uint64_t changes = source_.changes ? source_.changes() : 0;
           auto made = CHOIR_TRY(source_.make());
           if (made.may_be_kept) keep(changes, made.text);
           return std::move(made.text);
         }));
  }
  // Of two that are made at once the one that has seen more counts.
  void keep(std::uint64_t changes, const std::string& text) {
    kept_.with([&](Kept& kept) {
      if (!kept.text || kept.changes < changes) kept = {changes, text};
    });
  }
  std::optional<std::string> kept_text() const {
    if (!source_.changes) return std::nullopt;
    const std::uint64_t changes = source_.changes();
    return kept_.with(
        [&](const Kept& kept) { return kept.changes == changes ? kept.text : std::nullopt; });
  }
  ReplyHead head() const { return {.headers = {{"content-type", source_.type}}}; }
  std::vector<Waiting> take() {
    return waiting_.with([](std::vector<Waiting>& waiting) { return std::exchange(waiting, {}); });
  }
  void give(const std::vector<Waiting>& asked, const Result<std::string>& text) {
    for (const Waiting& one : asked) {
      auto reply = caught(
          [&]() -> Result<std::unique_ptr<Work>> { return reply_with(head(), CHOIR_TRY(text)); });
      one.desk->put(reply ? std::move(*reply) : reply_with_error(api_error(reply.error())));
      one.wake();
    }
  }

  Doors& doors_;
  const TextSource source_;
  Guarded<std::vector<Waiting>> waiting_;
  Guarded<Kept> kept_;
};

Handler shared(Doors& doors, TextSource source) {
  const auto made = std::make_shared<Shared>(doors, std::move(source));
  return [made](const HttpRequest& /*any*/, Wake wake) { return made->ask(std::move(wake)); };
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
    if (!body) return reply_with_error(body.error());
    const Result<Json> json = answer(request, *body);
    return json ? reply_of(json)
                : reply_with_error(about_body(api_error(json.error()), shape.fields));
  };
}

}  // namespace

Handler by_door(Doors& doors, Answer answer) { return made_by(doors, json_of(std::move(answer))); }
Handler by_door(Doors& doors, std::span<const BodyField> query, Answer answer) {
  return made_by(doors, [query, answer = std::move(answer)](const HttpRequest& request) {
    const Result<Json> json = answer(request);
    return json ? reply_of(json) : reply_with_error(about_query(api_error(json.error()), query));
  });
}
Handler work_by_door(Doors& doors, Reply reply) { return made_by(doors, std::move(reply)); }
Handler shared_by_door(Doors& doors, std::function<Result<Json>()> answer) {
  return shared(doors, {.type = "application/json",
                        .make = [answer = std::move(answer)]() -> Result<SharedText> {
                          return SharedText{to_text(CHOIR_TRY(answer()))};
                        }});
}
Handler kept_by_door(Doors& doors, Keeping keeping) {
  return shared(doors, {.type = "application/json",
                        .make = [make = std::move(keeping.make)]() -> Result<SharedText> {
                          const KeptJson made = CHOIR_TRY(make());
                          return SharedText{to_text(made.json), made.may_be_kept};
                        },
                        .changes = std::move(keeping.changes)});
}
Handler text_by_door(Doors& doors, std::string type, std::function<std::string()> text) {
  return shared(doors,
                {.type = std::move(type), .make = [text = std::move(text)]() -> Result<SharedText> {
                   return SharedText{text()};
                 }});
}
Handler by_door(Doors& doors, const BodyShape& shape, BodyAnswer answer) {
  return made_by(doors, json_of(shape, std::move(answer)));
}

}  // namespace choir::serve
