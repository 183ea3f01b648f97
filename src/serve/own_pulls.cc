#include "serve/own_pulls.h"

#include <string>
#include <utility>

#include "serve/by_door.h"
#include "serve/own_shapes.h"
#include "serve/pulls.h"

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

Result<Json> started(Pulls& pulls, const Json& body) {
  return pull_row(CHOIR_TRY(pulls.start(body["model"].get<std::string>())));
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
              .handler = by_door(s.doors, kPull, [&s](const HttpRequest&, const Json& body) {
                return started(s.pulls, body);
              })});
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
