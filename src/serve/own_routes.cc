#include "serve/own_routes.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "choir/text.h"
#include "serve/by_door.h"

namespace choir::serve {
namespace {

// ---- requests -----------------------------------------------------------------------------------

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

// ---- models -------------------------------------------------------------------------------------

Json model_row(const ExecutorInfo& e) {
  Json leases = Json::array();
  for (const LeaseInfo& lease : e.leases)
    leases.push_back({{"tenant", lease.tenant},
                      {"seconds_left", std::isfinite(lease.seconds_left) ? Json(lease.seconds_left)
                                                                         : Json(nullptr)}});
  return {{"name", e.config.name},
          {"path", e.config.path},
          {"state", e.loaded ? (e.suspended ? "suspended" : "loaded") : "unloaded"},
          {"priority", to_string(e.config.priority)},
          {"shares", e.config.shares},
          {"pinned", e.config.pinned},
          {"leases", std::move(leases)},
          {"sequences_max", e.config.sequences_max},
          {"sequence_tokens_max", e.config.sequence_tokens_max},
          {"context_tokens", e.config.context_tokens},
          {"kv_type", to_string(e.config.kv_type)},
          {"running", e.running},
          {"waiting", e.waiting},
          {"cells", e.cells},
          {"cached_cells", e.cached_cells},
          {"weight_bytes", e.memory.weights},
          {"kv_bytes", e.memory.kv},
          {"compute_bytes", e.memory.compute},
          {"prompt_tokens", e.prompt_tokens},
          {"output_tokens", e.output_tokens},
          {"reused_tokens", e.reused_tokens},
          {"requests_done", e.requests_done},
          {"requests_failed", e.requests_failed},
          {"preemptions", e.preemptions},
          {"idle_seconds", e.idle_seconds},
          {"load_seconds", e.load_seconds},
          {"compute_seconds", e.compute_seconds},
          {"threads", e.threads}};
}

Json all_models(const Node& node) {
  const NodeInfo info = node.info();
  Json rows = Json::array();
  for (const ExecutorInfo& executor : node.executors()) rows.push_back(model_row(executor));
  return {{"models", std::move(rows)},
          {"node",
           {{"cores", info.cores},
            {"lanes", info.lanes},
            {"memory_bytes_max", info.memory_bytes_max},
            {"memory_bytes_promised", info.memory_bytes_promised},
            {"requests_active", info.requests_active},
            {"draining", info.door_closed}}}};
}

Result<Json> one_model(const Node& node, const std::string& name) {
  return model_row(CHOIR_TRY(node.executor(name)));
}

// A body that may be left out.
Result<Json> body_of(const HttpRequest& request) {
  if (request.body.empty()) return Json::object();
  Json body = CHOIR_TRY(parse_json(request.body));
  if (!body.is_object()) return fail(Code::kInvalidArgument, "the body is no JSON object");
  return body;
}

Result<std::int32_t> whole_number(const Json& body, const char* field, std::int32_t otherwise) {
  if (!body.contains(field)) return otherwise;
  const Json& value = body[field];
  if (!value.is_number_integer() || value < 1 || value > INT32_MAX)
    return fail(Code::kInvalidArgument, "'" + std::string(field) + "' is " +
                                            printable_line(to_text(value), 60) +
                                            "; it takes a whole number from 1");
  return value.get<std::int32_t>();
}

// An own route refuses what it does not know.
Status only(const Json& body, std::initializer_list<std::string> known) {
  const std::vector<std::string> names(known);
  for (const auto& [name, value] : body.items()) {
    if (std::ranges::find(names, name) != names.end()) continue;
    const auto near = nearest(name, names);
    return fail(Code::kInvalidArgument, "'" + printable_line(name, 60) +
                                            "' is no field of this route" +
                                            (near ? "; did you mean '" + *near + "'?" : ""));
  }
  return {};
}

Status pin(Node& node, const std::string& name, bool pinned) {
  ExecutorConfig config = CHOIR_TRY(node.executor(name)).config;
  config.pinned = pinned;
  return node.update(config);
}

Status resize(Node& node, const std::string& name, const Json& body) {
  const ExecutorInfo info = CHOIR_TRY(node.executor(name));
  CHOIR_CHECK_OK(only(body, {"sequences_max", "sequence_tokens_max"}));
  return node.resize(
      name, CHOIR_TRY(whole_number(body, "sequences_max", info.config.sequences_max)),
      CHOIR_TRY(whole_number(body, "sequence_tokens_max", info.config.sequence_tokens_max)));
}

// POST /choir/v1/models/NAME/ACTION
Result<Json> changed(const Services& s, const HttpRequest& request) {
  const std::size_t slash = request.rest.rfind('/');
  if (slash == std::string::npos || slash == 0)
    return fail(Code::kNotFound, "the path is /choir/v1/models/NAME/ACTION");
  const std::string name = CHOIR_TRY(s.models.find(request.rest.substr(0, slash)));
  const std::string action = request.rest.substr(slash + 1);
  const Json body = CHOIR_TRY(body_of(request));
  if (action != "resize") CHOIR_CHECK_OK(only(body, {}));
  Status done;
  if (action == "load")
    done = s.node.load(name);
  else if (action == "unload")
    done = s.node.unload(name);
  else if (action == "suspend")
    done = s.node.suspend(name);
  else if (action == "resume")
    done = s.node.resume(name);
  else if (action == "pin" || action == "unpin")
    done = pin(s.node, name, action == "pin");
  else if (action == "resize")
    done = resize(s.node, name, body);
  else
    return fail(Code::kNotFound, "there is no action '" + printable_line(action, 60) +
                                     "'; there are load, unload, suspend, resume, pin, unpin and "
                                     "resize");
  CHOIR_CHECK_OK(done);
  return one_model(s.node, name);
}

}  // namespace

void add_own_routes(Router& router, const Services& s) {
  router.add({.method = "GET",
              .path = "/choir/v1/requests",
              .handler = by_door(s.doors, [&s](const HttpRequest&) -> Result<Json> {
                return requests_in_sight(s.node);
              })});
  router.add({.method = "DELETE",
              .path = "/choir/v1/requests/*",
              .scopes = kAdmin,
              .handler = by_door(
                  s.doors, [&s](const HttpRequest& r) { return cancelled(s.node, r.rest); })});
  router.add({.method = "GET",
              .path = "/choir/v1/models",
              .handler = by_door(s.doors, [&s](const HttpRequest&) -> Result<Json> {
                return all_models(s.node);
              })});
  router.add({.method = "GET",
              .path = "/choir/v1/models/*",
              .handler = by_door(s.doors, [&s](const HttpRequest& r) -> Result<Json> {
                return one_model(s.node, CHOIR_TRY(s.models.known(r.rest)));
              })});
  router.add(
      {.method = "POST",
       .path = "/choir/v1/models/*",
       .scopes = kAdmin,
       .handler = by_slow_door(s.doors, [&s](const HttpRequest& r) { return changed(s, r); })});
  router.add({.method = "POST",
              .path = "/choir/v1/stop",
              .scopes = kAdmin,
              .handler = by_door(s.doors, [&s](const HttpRequest&) -> Result<Json> {
                s.stop();
                return Json{{"stopping", true}};
              })});
}

}  // namespace choir::serve
