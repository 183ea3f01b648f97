#include "serve/routes.h"

#include <string>
#include <utility>

#include "serve/by_door.h"
#include "serve/embedding.h"
#include "serve/generating.h"
#include "serve/llama_out.h"
#include "serve/llama_routes.h"
#include "serve/openai_out.h"
#include "serve/own_routes.h"

namespace choir::serve {
namespace {

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
  for (const char* path : {"/v1/chat/completions", "/chat/completions"})
    add_generating(router, s, path, openai_chat());
  add_generating(router, s, "/v1/completions", openai_completions());
  router.add({.method = "POST",
              .path = "/v1/embeddings",
              .scopes = kInfer,
              .body_bytes_max = kInferenceBodyMax,
              .handler = [&s](HttpRequest request, Wake wake) {
                return begin_embedding(s, std::move(request), std::move(wake));
              }});
}

}  // namespace

void add_routes(Router& router, const Services& services) {
  add_openai(router, services);
  for (const char* path : {"/completion", "/completions"})
    add_generating(router, services, path, llama_completion());
  add_llama_routes(router, services);
  add_own_routes(router, services);
}

}  // namespace choir::serve
