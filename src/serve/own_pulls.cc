#include "serve/own_pulls.h"

#include <memory>
#include <string>
#include <utility>

#include "serve/by_door.h"
#include "serve/own_shapes.h"
#include "serve/pulls.h"
#include "serve/shaped_body.h"

namespace choir::serve {
namespace {

Json pull_row(const PullState& pull) {
  Json error = nullptr;
  if (pull.error)
    error = {{"reason", pull_reason(*pull.error)}, {"message", pull_sentence(*pull.error)}};
  return {{"model", pull.model},
          {"state", to_string(pull.phase)},
          {"cancelling", pull.cancelling},
          {"step", pull.progress.step},
          {"bytes_done", pull.progress.bytes_done},
          {"bytes_total", pull.progress.bytes_total},
          {"path", pull.path.empty() ? Json(nullptr) : Json(pull.path)},
          {"error", std::move(error)}};
}

Json all_pulls(const Pulls& pulls) {
  Json rows = Json::array();
  for (const PullState& pull : pulls.all()) rows.push_back(pull_row(pull));
  return {{"pulls", std::move(rows)}};
}

std::unique_ptr<Work> started(Pulls& pulls, const HttpRequest& request) {
  const ApiResult<Json> body = read_shaped_body(kPull, request.body);
  if (!body) return reply_with_error(body.error());
  const auto pull = pulls.start((*body)["model"].get<std::string>());
  if (pull) return reply_with_json(200, to_text(pull_row(*pull)));
  ApiError wrong = api_error(pull.error());
  if (pull.error().code == Code::kNotFound) {
    wrong.param = "model";
    wrong.pointer = "/model";
  }
  return reply_with_error(wrong);
}

}  // namespace

void add_pull_routes(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/choir/v1/pulls",
              .summary = "Lists the pulls of models that were begun",
              .reply = {"Pulls"},
              .handler = by_door(s.doors, [&s](const HttpRequest&) -> Result<Json> {
                return all_pulls(s.pulls);
              })});
  router.add({.method = "POST",
              .path = "/choir/v1/pulls",
              .summary = "Begins to fetch a model of the catalogue; one job for all who ask",
              .scopes = kAdmin,
              .body = kPull,
              .reply = {"Pull"},
              .handler = work_by_door(s.doors,
                                      [&s](const HttpRequest& r) { return started(s.pulls, r); })});
  router.add({.method = "DELETE",
              .path = "/choir/v1/pulls/*",
              .summary = "Cancels a pull",
              .scopes = kAdmin,
              .reply = {"Pull"},
              .handler = by_door(s.doors, [&s](const HttpRequest& r) -> Result<Json> {
                return pull_row(CHOIR_TRY(s.pulls.cancel(r.rest)));
              })});
}

}  // namespace choir::serve
