#include "serve/routes.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <string>
#include <utility>

#include "serve/by_door.h"
#include "serve/embedding.h"
#include "serve/generating.h"
#include "serve/openai_out.h"
#include "serve/own_routes.h"

namespace choir::serve {
namespace {

Handler at_once(std::function<Json()> answer) {
  return [answer = std::move(answer)](const HttpRequest&, const Wake&) {
    return reply_with_json(200, to_text(answer()));
  };
}

// ---- values of each route -----------------------------------------------------------------------

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

Json health(const Node& node) {
  const NodeInfo info = node.info();
  return {{"status", info.door_closed ? "draining" : "ok"}};
}

void add_generating(Router& router, const Services& s, const char* path, const Dialect& dialect) {
  router.add({.method = "POST",
              .path = path,
              .scopes = kInfer,
              .body_bytes_max = kInferenceBodyMax,
              .handler = [&s, &dialect](HttpRequest request, Wake wake) {
                return begin_generating(s, dialect, std::move(request), std::move(wake));
              }});
}

void add_openai(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/v1/models",
              .handler = by_door(
                  s.doors, [&s](const HttpRequest&) -> Result<Json> { return s.models.list(); })});
  router.add(
      {.method = "GET",
       .path = "/v1/models/*",
       .handler = by_door(s.doors, [&s](const HttpRequest& r) { return s.models.one(r.rest); })});
  add_generating(router, s, "/v1/chat/completions", openai_chat());
  add_generating(router, s, "/v1/completions", openai_completions());
  router.add({.method = "POST",
              .path = "/v1/embeddings",
              .scopes = kInfer,
              .body_bytes_max = kInferenceBodyMax,
              .handler = [&s](HttpRequest request, Wake wake) {
                return begin_embedding(s, std::move(request), std::move(wake));
              }});
}

void add_llama(Router& router, const Services& s) {
  for (const char* path : {"/health", "/livez", "/readyz"})
    router.add({.method = "GET", .path = path, .scopes = 0, .handler = at_once([&s] {
                                                              return health(s.node);
                                                            })});
  router.add({.method = "GET",
              .path = "/metrics",
              .scopes = kMetrics,
              .handler = text_by_door(s.doors, "text/plain; version=0.0.4; charset=utf-8",
                                      [&s] { return s.metrics.text(s.node); })});
  router.add({.method = "POST",
              .path = "/tokenize",
              .scopes = kInfer,
              .body_bytes_max = kInferenceBodyMax,
              .handler = by_door(s.doors, [&s](const HttpRequest& r) { return tokenized(s, r); })});
  router.add(
      {.method = "POST",
       .path = "/detokenize",
       .scopes = kInfer,
       .body_bytes_max = kInferenceBodyMax,
       .handler = by_door(s.doors, [&s](const HttpRequest& r) { return detokenized(s, r); })});
}

}  // namespace

void add_routes(Router& router, const Services& services) {
  add_openai(router, services);
  add_llama(router, services);
  add_own_routes(router, services);
}

}  // namespace choir::serve
