#include "serve/routes.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string>
#include <utility>

#include "base/guarded.h"
#include "serve/embedding.h"
#include "serve/openai_out.h"

namespace choir::serve {
namespace {

// What a door thread answers in one go.
using Answer = std::function<Result<Json>(const HttpRequest&)>;

// A reply that a door thread makes.
class Made final : public Work {
  struct Desk {
    Guarded<std::unique_ptr<Work>> reply;
  };

 public:
  Made(Doors& doors, HttpRequest request, Wake wake, Answer answer) {
    const Status posted = doors.post([desk = desk_, request = std::move(request),
                                      wake = std::move(wake), answer = std::move(answer)] {
      const Result<Json> json = answer(request);
      desk->reply.with([&](std::unique_ptr<Work>& reply) {
        reply =
            json ? reply_with_json(200, to_text(*json)) : reply_with_error(api_error(json.error()));
      });
      wake();
    });
    if (!posted)
      desk_->reply.with([&](std::unique_ptr<Work>& reply) {
        reply = reply_with_error(api_error(posted.error()));
      });
  }
  Output advance() override {
    return desk_->reply.with(
        [](std::unique_ptr<Work>& reply) { return reply ? reply->advance() : Output{}; });
  }

 private:
  const std::shared_ptr<Desk> desk_ = std::make_shared<Desk>();
};

Handler by_door(const Services& services, Answer answer) {
  return [&doors = services.doors, answer = std::move(answer)](HttpRequest request, Wake wake) {
    return std::make_unique<Made>(doors, std::move(request), std::move(wake), answer);
  };
}

Handler at_once(std::function<Json()> answer) {
  return [answer = std::move(answer)](HttpRequest, const Wake&) {
    return reply_with_json(200, to_text(answer()));
  };
}

// ---- values of each route
// ------------------------------------------------------------------------

Result<Json> tokenized(const Services& services, const HttpRequest& request) {
  const Json body = CHOIR_TRY(parse_json(request.body));
  if (!body.is_object() || !body.contains("content") || !body["content"].is_string())
    return fail(Code::kInvalidArgument, "'content' is missing; it takes a text");
  const Json model = body.value("model", Json(""));
  if (!model.is_string()) return fail(Code::kInvalidArgument, "'model' takes a text");
  const std::string executor = CHOIR_TRY(services.models.known(model.get<std::string>()));
  return Json{{"tokens", CHOIR_TRY(services.node.tokenize(
                             executor, body["content"].get_ref<const std::string&>()))}};
}

Result<Json> detokenized(const Services& services, const HttpRequest& request) {
  const Json body = CHOIR_TRY(parse_json(request.body));
  const bool tokens = body.is_object() && body.contains("tokens") && body["tokens"].is_array() &&
                      std::ranges::all_of(body["tokens"], [](const Json& token) {
                        return token.is_number_integer() && token >= 0 && token <= INT32_MAX;
                      });
  if (!tokens)
    return fail(Code::kInvalidArgument, "'tokens' is missing; it takes a list of tokens");
  const Json model = body.value("model", Json(""));
  if (!model.is_string()) return fail(Code::kInvalidArgument, "'model' takes a text");
  const std::string executor = CHOIR_TRY(services.models.known(model.get<std::string>()));
  return Json{{"content", CHOIR_TRY(services.node.detokenize(
                              executor, body["tokens"].get<std::vector<TokenId>>()))}};
}

Json request_row(const RequestInfo& r) {
  return {{"id", std::to_string(r.id.value)},
          {"model", r.executor},
          {"tenant", r.tenant},
          {"priority", to_string(r.priority)},
          {"state", to_string(r.phase)},
          {"waits_for", to_string(r.waits_for)},
          {"prompt_tokens", r.prompt_tokens},
          {"prompt_tokens_done", r.prompt_tokens_done},
          {"output_tokens", r.output_tokens},
          {"age_seconds", r.age_seconds}};
}

Json requests_in_sight(const Node& node) {
  Json rows = Json::array();
  for (const RequestInfo& request : node.requests()) {
    Json row = request_row(request);
    if (const auto place = node.place(request.id)) {
      row["ahead"] = place->ahead;
      row["expected_seconds"] = place->seconds ? Json(*place->seconds) : Json(nullptr);
    }
    rows.push_back(std::move(row));
  }
  return {{"requests", std::move(rows)}};
}

Result<Json> cancelled(Node& node, const std::string& id) {
  RequestId request;
  const auto end = std::from_chars(id.data(), id.data() + id.size(), request.value);
  if (end.ec != std::errc() || end.ptr != id.data() + id.size())
    return fail(Code::kNotFound, "'" + id + "' is no id of a request");
  CHOIR_CHECK_OK(node.cancel(request));
  return Json{{"id", id}, {"cancelled", true}};
}

Json health(const Node& node) {
  const NodeInfo info = node.info();
  return {{"status", info.door_closed ? "draining" : "ok"}};
}

void add_openai(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/v1/models",
              .handler = by_door(
                  s, [&s](const HttpRequest&) -> Result<Json> { return s.models.list(); })});
  router.add({.method = "GET",
              .path = "/v1/models/*",
              .handler = by_door(s, [&s](const HttpRequest& r) { return s.models.one(r.rest); })});
  for (const auto& [path, route] :
       {std::pair("/v1/chat/completions", kChat), std::pair("/v1/completions", kCompletion)})
    router.add({.method = "POST",
                .path = path,
                .body_bytes_max = kInferenceBodyMax,
                .handler = [&s, route = route](HttpRequest request, Wake wake) {
                  return begin_generating(s, route, std::move(request), std::move(wake));
                }});
  router.add({.method = "POST",
              .path = "/v1/embeddings",
              .body_bytes_max = kInferenceBodyMax,
              .handler = [&s](HttpRequest request, Wake wake) {
                return begin_embedding(s, std::move(request), std::move(wake));
              }});
}

void add_llama(Router& router, const Services& s) {
  for (const char* path : {"/health", "/livez", "/readyz"})
    router.add(
        {.method = "GET", .path = path, .handler = at_once([&s] { return health(s.node); })});
  router.add({.method = "POST",
              .path = "/tokenize",
              .body_bytes_max = kInferenceBodyMax,
              .handler = by_door(s, [&s](const HttpRequest& r) { return tokenized(s, r); })});
  router.add({.method = "POST",
              .path = "/detokenize",
              .body_bytes_max = kInferenceBodyMax,
              .handler = by_door(s, [&s](const HttpRequest& r) { return detokenized(s, r); })});
}

void add_own(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/choir/v1/requests",
              .handler = by_door(s, [&s](const HttpRequest&) -> Result<Json> {
                return requests_in_sight(s.node);
              })});
  router.add(
      {.method = "DELETE",
       .path = "/choir/v1/requests/*",
       .handler = by_door(s, [&s](const HttpRequest& r) { return cancelled(s.node, r.rest); })});
}

}  // namespace

void add_routes(Router& router, const Services& services) {
  add_openai(router, services);
  add_llama(router, services);
  add_own(router, services);
}

}  // namespace choir::serve
