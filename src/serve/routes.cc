#include "serve/routes.h"

#include <string>
#include <string_view>
#include <utility>

#include "serve/by_door.h"
#include "serve/embedding.h"
#include "serve/generating.h"
#include "serve/llama_out.h"
#include "serve/llama_routes.h"
#include "serve/openai_out.h"
#include "serve/own_routes.h"
#include "serve/request_headers.h"

namespace choir::serve {
namespace {

struct Generates {
  const char* path;
  const Dialect& dialect;
  std::string_view summary;
  std::string_view reply;
};

void add_generating(Router& router, const Services& s, const Generates& route) {
  router.add({.method = "POST",
              .path = route.path,
              .summary = route.summary,
              .scopes = kInfer,
              .body_bytes_max = kInferenceBodyMax,
              .headers = kRequestHeaders,
              .body = {.table = route.dialect.route},
              .reply = {.schema = route.reply, .may_stream = true},
              .handler = [&s, &dialect = route.dialect](HttpRequest request, Wake wake) {
                return begin_generating(s, dialect, std::move(request), std::move(wake));
              }});
}

void add_openai(Router& router, const Services& s) {
  router.add(
      {.method = "GET",
       .path = "/v1/models",
       .summary = "Lists the models: those that are served, and those of the models folder",
       .reply = {"ModelList"},
       .handler = kept_by_door(s.doors, {.changes = [&s] { return s.models.changes(); },
                                         .make = [&s]() -> Result<KeptJson> {
                                           auto listed = s.models.list();
                                           read_heads_of(s, std::move(listed.unread));
                                           return KeptJson{std::move(listed.json), listed.watched};
                                         }})});
  router.add({.method = "GET",
              .path = "/v1/models/*",
              .summary = "Shows one model",
              .reply = {"Model"},
              .handler = work_by_door(s.doors, [&s](const HttpRequest& r) {
                const auto row = s.models.one(r.rest);
                return row ? reply_with_json(200, to_text(*row))
                           : reply_with_error(model_error(row.error()));
              })});
  for (const char* path : {"/v1/chat/completions", "/chat/completions"})
    add_generating(
        router, s,
        {path, openai_chat(), "Answers messages, whole or as a stream", "ChatCompletion"});
  add_generating(router, s,
                 {"/v1/completions", openai_completions(),
                  "Continues a text or tokens, whole or as a stream", "TextCompletion"});
  router.add({.method = "POST",
              .path = "/v1/embeddings",
              .summary = "Gives vectors of length one, of one text or of several",
              .scopes = kInfer,
              .body_bytes_max = kInferenceBodyMax,
              .headers = kRequestHeaders,
              .body = {.table = kEmbeddings},
              .reply = {"EmbeddingList"},
              .handler = [&s](HttpRequest request, Wake wake) {
                return begin_embedding(s, std::move(request), std::move(wake));
              }});
}

}  // namespace

void add_routes(Router& router, const Services& services) {
  add_openai(router, services);
  for (const char* path : {"/completion", "/completions"})
    add_generating(
        router, services,
        {path, llama_completion(), "Continues a text or tokens, as llama.cpp has it", ""});
  add_llama_routes(router, services);
  add_own_routes(router, services);
}

}  // namespace choir::serve
